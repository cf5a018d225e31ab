"""Heads on kinds of base models: what a strategy can be tried on."""

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
"""Rows of each split."""
QUICK = {"max_new_tokens": 4}
"""Fields of heads that make them slow, where they have them."""


@dataclass(frozen=True)
class HeadAndKind:
    """A head, by its name and bound to rows, and the kind of base model that it is on."""

    name: str
    head: TaskHead
    kind: str
    rows: Mapping[str, Rows]
    """By split."""

    def __str__(self) -> str:
        return f"{self.name} on {'a' if self.kind == 'decoder' else 'an'} {self.kind}"

    @property
    def base(self) -> BaseInfo:
        return tiny.base(self.kind)


@cache
def cells() -> tuple[HeadAndKind, ...]:
    """Every built-in head on every kind of base model that it works on, in the order of the kit's rows."""
    heads = [plugin for plugin in Registry().plugins if plugin.kind == "head"]
    found = [
        cell
        for plugin in heads
        if plugin.distribution == "tlplug"
        for cell in cells_of(plugin.name, plugin.load())
    ]
    return tuple(sorted(found, key=lambda cell: list(MAKERS).index(frozenset(cell.head.columns))))


def cells_of(
    name: str, head: type[Any], given: Mapping[str, Any] | None = None, rows: Mapping[str, Rows] | None = None
) -> Iterator[HeadAndKind]:
    quick = {field.name: QUICK[field.name] for field in fields(head.Config) if field.name in QUICK}
    made: TaskHead = head(head.Config(**{**quick, **(given or {})}))
    rows = rows or kit_rows(made)
    if rows is None:
        return
    bound = made.with_state(made.fit(rows["train"]))
    for kind in tiny.KINDS:
        if bound.why_incompatible(tiny.base(kind)) is None:
            yield HeadAndKind(name, bound, kind, rows)


def kit_rows(head: TaskHead) -> dict[str, Rows] | None:
    found = {split: rows_for(head.columns, count, seed) for seed, (split, count) in enumerate(COUNTS.items())}
    return {split: rows for split, rows in found.items() if rows} or None


def drop_columns(rows: Rows, columns: Sequence[str]) -> list[dict[str, Any]]:
    return [{name: value for name, value in row.items() if name not in columns} for row in rows]


def refusal(strategy: Strategy, head: TaskHead, base: BaseInfo) -> str | None:
    """Return why the core would refuse the three before anything is loaded; None where it would not."""
    return (
        head.why_incompatible(base)
        or strategy.why_incompatible(head)
        or strategy.why_incompatible(head, base)
    )
