"""Which rows a model is looked at with, before it is adapted and after."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from tlplug.data.domain import Domain
from tlplug.interfaces import BaseInfo, Batch, NotMeasured, Row, Rows, RowsContext, TaskHead, TransferMetric

LONGEST = 1024


class PlainTexts(TaskHead):
    """Texts by themselves, the first 1,024 tokens of each at most."""

    def __init__(self, column: str) -> None:
        super().__init__()
        self.column = column

    def encode(self, rows: Rows, base: BaseInfo, training: bool) -> list[dict[str, Any]]:
        longest = min(base.max_length or LONGEST, LONGEST)
        encoded = base.tokenizer([row[self.column] for row in rows], truncation=True, max_length=longest)
        return [
            {"id": row["id"], **{name: encoded[name][index] for name in encoded}}
            for index, row in enumerate(rows)
        ]

    def collate(self, features: Sequence[Mapping[str, Any]], base: BaseInfo) -> Batch:
        inputs = [{name: value for name, value in each.items() if name != "id"} for each in features]
        # On the right, or the positions of a text would change with what it is padded to.
        return dict(base.tokenizer.pad(inputs, padding_side="right", return_tensors="pt"))


TASK, SOURCE = "task", "source"


@dataclass(frozen=True)
class Probe:
    """A set of rows of one kind."""

    name: str
    rows: Sequence[Row]
    reads: str | None = None
    """The column of rows that are no more than texts, which the head cannot read."""
    text: str | None = None
    """The column whose likelihood is recorded."""
    scored: bool = False
    """Whether the rows have targets that the head can score."""
    predicted: bool = False
    """Whether the head's predictions are recorded."""

    @property
    def suffix(self) -> str:
        """Of the names of its evidence; the task's own rows need none."""
        return "" if self.name == TASK else f"/{self.name}"

    def reader(self, head: TaskHead) -> TaskHead:
        """Return what encodes and collates the rows: the head, or where it cannot read them one of texts."""
        return head if self.reads is None else PlainTexts(self.reads)

    def features(self, head: TaskHead, base: BaseInfo) -> list[dict[str, Any]]:
        """The rows encoded, the first part of each alone, in their order."""
        every = self.reader(head).encode(self.rows, base, False)
        return [feature for feature in every if not feature.get("part")]


def probes_of(
    context: RowsContext, domains: Mapping[str, Domain], metrics: Mapping[str, TransferMetric], most: int
) -> tuple[list[Probe], dict[str, str]]:
    """Return the task's validation rows, those of other domains, and what metrics ask for.

    Args:
        context: with all validation rows.
        most: so many rows of a probe at most, drawn by the context's seed; 0 leaves none.

    Returns:
        The probes, and for the evidence of those that there cannot be, why.
    """
    if not most:
        return [], {}
    context = replace(context, rows=drawn(context.rows, most, context.seed))
    found = [Probe(TASK, context.rows)]
    found += [of_domain(name, domain, context.head, most, context.seed) for name, domain in domains.items()]
    reasons: dict[str, str] = {}
    for metric in metrics.values():
        try:
            asked = metric.extra_rows(context)
        except NotMeasured as reason:
            reasons |= dict.fromkeys(metric.requires, str(reason))
        else:
            found += [Probe(name, list(rows), predicted=True) for name, rows in asked.items()]
    return [probe for probe in found if len(probe.rows)], reasons


def of_domain(name: str, domain: Domain, head: TaskHead, most: int, seed: int) -> Probe:
    rows = drawn(domain.rows, most, seed)
    if domain.plain:
        return Probe(name, rows, reads=domain.text, text=domain.text)
    scored = all(target in row for row in rows for target in head.targets) and not any(
        head.row_error(row, with_targets=True) for row in rows
    )
    return Probe(name, rows, text=domain.text, scored=name == SOURCE and scored)


def drawn(rows: Rows, most: int, seed: int) -> list[Row]:
    """At most so many of the rows, in their order: those of a file may be sorted."""
    if len(rows) <= most:
        return list(rows)
    chosen = np.random.default_rng(seed).choice(len(rows), most, replace=False)
    return [rows[int(index)] for index in np.sort(chosen)]


def classes_of(rows: Rows, head: TaskHead) -> np.ndarray | None:
    """The class of each row by its number, int64 [p]: among the head's labels, or where they are others, their own."""
    if any(row.get(target) is None for row in rows for target in head.targets):
        return None
    names = [head.class_of(row) for row in rows]
    if not names or None in names:
        return None
    known = list(head.labels) if set(names) <= set(head.labels) else sorted(set(map(str, names)))
    return np.array([known.index(str(name)) for name in names], np.int64)
