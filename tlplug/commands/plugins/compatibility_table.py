"""Make the table of `plugins compatibility`: which strategies work with which heads and kinds of base models."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from tlplug.interfaces import TaskHead
from tlplug.interfaces.registry import Registry
from tlplug.testing import tiny_models as tiny
from tlplug.testing.combinations import kit_rows, refusal

MARKS = {"encoder": "E", "decoder": "D", "encoder-decoder": "S"}
NONE = "-"


@dataclass(frozen=True)
class Cell:
    strategy: str
    head: str
    kind: str
    refusal: str | None
    """Why the three are incompatible; None if they are compatible."""


def cells(registry: Registry) -> Iterator[Cell]:
    """Yield a cell for every built-in strategy with every built-in head on a small base model of each kind."""
    heads = {name: bound(registry, name) for name in built_in(registry, "head")}
    for strategy in built_in(registry, "strategy"):
        method = registry.find("strategy", strategy).load()()
        for name, head in heads.items():
            for kind in MARKS:
                yield Cell(strategy, name, kind, refusal(method, head, tiny.base(kind)))


def built_in(registry: Registry, kind: str) -> list[str]:
    return [
        plugin.name for plugin in registry.plugins if plugin.kind == kind and plugin.distribution == "tlplug"
    ]


def bound(registry: Registry, name: str) -> TaskHead:
    head: TaskHead = registry.find("head", name).load()()
    rows = kit_rows(head)
    return head.with_state(head.fit(rows["train"])) if rows else head


def page(found: list[Cell]) -> str:
    """Return the table as Markdown, with the compatible kinds in each cell, and the reasons for the others below."""
    heads = list(dict.fromkeys(cell.head for cell in found))
    strategies = list(dict.fromkeys(cell.strategy for cell in found))
    works = {(cell.strategy, cell.head, cell.kind) for cell in found if cell.refusal is None}
    rows = [
        [
            f"`{strategy}`",
            *(marks(kind for kind in MARKS if (strategy, head, kind) in works) for head in heads),
        ]
        for strategy in strategies
    ]
    lines = [
        line(["strategy", *(f"`{head}`" for head in heads)]),
        line(["---"] * (len(heads) + 1)),
        *map(line, rows),
    ]
    return "\n".join(lines) + "\n\n" + "\n".join(reasons(found)) + "\n"


def marks(kinds: Iterator[str]) -> str:
    return " ".join(MARKS[kind] for kind in kinds) or NONE


def line(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"


def reasons(found: list[Cell]) -> Iterator[str]:
    """Yield a line for each reason, with the combinations that are incompatible for it."""
    told: dict[str, list[Cell]] = {}
    for cell in found:
        if cell.refusal is not None:
            told.setdefault(cell.refusal, []).append(cell)
    every = {cell.strategy for cell in found}
    for reason, refused in told.items():
        yield f"* {where(refused, every)}: {reason}"


def where(refused: list[Cell], every: set[str]) -> str:
    """Return the combinations of one reason as text: `lora, full with summarization on E`."""
    strategies, heads = (listed(getattr(cell, part) for cell in refused) for part in ("strategy", "head"))
    if {cell.strategy for cell in refused} == every:
        strategies = "every strategy"
    kinds = [mark for kind, mark in MARKS.items() if kind in {cell.kind for cell in refused}]
    return f"{strategies} with {heads} on {' '.join(kinds)}"


def listed(names: Iterator[str]) -> str:
    return ", ".join(f"`{name}`" for name in dict.fromkeys(names))
