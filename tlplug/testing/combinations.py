"""Combine heads with kinds of base models, for checks of strategies."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from functools import cache
from typing import Any

from tlplug.interfaces import BaseInfo, Rows, Strategy, TaskHead
from tlplug.interfaces.registry import Registry
from tlplug.testing import tiny_models as tiny
from tlplug.testing.sample_rows import MAKERS, rows_for

COUNTS = {"train": 16, "validation": 8, "test": 8}
"""Number of rows of each split."""
QUICK = {"max_new_tokens": 4}
"""Values of fields that make a head fast."""


@dataclass(frozen=True)
class HeadAndKind:
    """A head with a state, its name, and the kind of its base model."""

    name: str
    head: TaskHead
    kind: str
    rows: Mapping[str, Rows]
    """The rows by split."""

    def __str__(self) -> str:
        return f"{self.name} on {'a' if self.kind == 'decoder' else 'an'} {self.kind}"

    @property
    def base(self) -> BaseInfo:
        return tiny.base(self.kind)


@cache
def list_combinations() -> tuple[HeadAndKind, ...]:
    """Return each built-in head with each kind of base model that it supports, in the order of the kit's rows."""
    plugins = [
        plugin for plugin in Registry().plugins if plugin.kind == "head" and plugin.distribution == "tlplug"
    ]
    combinations = [
        combination for plugin in plugins for combination in combine_with_kinds(plugin.name, plugin.load())
    ]
    return tuple(sorted(combinations, key=lambda each: list(MAKERS).index(frozenset(each.head.columns))))


def combine_with_kinds(name: str, cls: type[Any]) -> Iterator[HeadAndKind]:
    head = quick_head(cls)
    rows = kit_rows(head) or {}
    bound = head.with_state(head.fit(rows["train"]))
    for kind in tiny.KINDS:
        if bound.why_incompatible(tiny.base(kind)) is None:
            yield HeadAndKind(name, bound, kind, rows)


def quick_head(cls: type[Any], **config: Any) -> TaskHead:
    """Return the head with these fields of its Config, and values for other fields that make it fast."""
    quick = {field.name: QUICK[field.name] for field in fields(cls.Config) if field.name in QUICK}
    head: TaskHead = cls(cls.Config(**{**quick, **config}))
    return head


def kit_rows(head: TaskHead) -> dict[str, Rows] | None:
    combinations = {
        split: rows_for(head.columns, count, seed) for seed, (split, count) in enumerate(COUNTS.items())
    }
    return {split: rows for split, rows in combinations.items() if rows} or None


def drop_columns(rows: Rows, columns: Sequence[str]) -> list[dict[str, Any]]:
    return [{name: value for name, value in row.items() if name not in columns} for row in rows]


def refusal(strategy: Strategy, head: TaskHead, base: BaseInfo) -> str | None:
    """Return the reason why a head and a strategy reject a combination before anything is loaded; None if they do not."""
    return (
        head.why_incompatible(base)
        or strategy.why_incompatible(head)
        or strategy.why_incompatible(head, base)
    )
