"""Select the rows for recording evidence before and after the adaptation."""

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
class RecordedRows:
    """A set of rows for recording evidence."""

    name: str
    rows: Sequence[Row]
    reads: str | None = None
    """The text column of rows that the head cannot read."""
    text: str | None = None
    """The column whose likelihood is recorded."""
    scored: bool = False
    """Whether the rows have targets that the head can score."""
    predicted: bool = False
    """Whether the head's predictions are recorded."""

    @property
    def suffix(self) -> str:
        """The suffix of the evidence's names; empty for the task's own rows."""
        return "" if self.name == TASK else f"/{self.name}"

    def reader(self, head: TaskHead) -> TaskHead:
        """Return the head that encodes and collates the rows: the task's, or a head for plain texts."""
        return head if self.reads is None else PlainTexts(self.reads)

    def features(self, head: TaskHead, base: BaseInfo) -> list[dict[str, Any]]:
        """Encode the rows in order, only the first part of each."""
        features = self.reader(head).encode(self.rows, base, False)
        return [feature for feature in features if not feature.get("part")]


def select_rows(
    context: RowsContext, domains: Mapping[str, Domain], metrics: Mapping[str, TransferMetric], max_rows: int
) -> tuple[list[RecordedRows], dict[str, str]]:
    """Return the task's validation rows, those of other domains, and what metrics ask for.

    Args:
        context: with all validation rows.
        max_rows: the most rows of a set, sampled with the context's seed; 0: no rows at all.

    Returns:
        The sets of rows, and reasons for missing evidence by its name.
    """
    if not max_rows:
        return [], {}
    context = replace(context, rows=sample_rows(context.rows, max_rows, context.seed))
    selected = [RecordedRows(TASK, context.rows)]
    selected += [
        domain_rows(name, domain, context.head, max_rows, context.seed) for name, domain in domains.items()
    ]
    reasons: dict[str, str] = {}
    for metric in metrics.values():
        try:
            extra = metric.extra_rows(context)
        except NotMeasured as reason:
            reasons |= dict.fromkeys(metric.requires, str(reason))
        else:
            selected += [RecordedRows(name, list(rows), predicted=True) for name, rows in extra.items()]
    return [probe for probe in selected if len(probe.rows)], reasons


def domain_rows(name: str, domain: Domain, head: TaskHead, max_rows: int, seed: int) -> RecordedRows:
    rows = sample_rows(domain.rows, max_rows, seed)
    if domain.plain:
        return RecordedRows(name, rows, reads=domain.text, text=domain.text)
    scored = all(target in row for row in rows for target in head.targets) and not any(
        head.row_error(row, with_targets=True) for row in rows
    )
    return RecordedRows(name, rows, text=domain.text, scored=name == SOURCE and scored)


def sample_rows(rows: Rows, max_rows: int, seed: int) -> list[Row]:
    """Sample at most `max_rows` rows in their order; the rows of a file may be sorted, so the first ones are no sample."""
    if len(rows) <= max_rows:
        return list(rows)
    indices = np.random.default_rng(seed).choice(len(rows), max_rows, replace=False)
    return [rows[int(index)] for index in np.sort(indices)]


def class_indices(rows: Rows, head: TaskHead) -> np.ndarray | None:
    """Return each row's class as an index, int64 [p], into the head's labels, or into the rows' own sorted labels."""
    if any(row.get(target) is None for row in rows for target in head.targets):
        return None
    names = [head.class_of(row) for row in rows]
    if not names or None in names:
        return None
    labels = list(head.labels) if set(names) <= set(head.labels) else sorted(set(map(str, names)))
    return np.array([labels.index(str(name)) for name in names], np.int64)
