"""Draw splits and limits, and check every row with the head."""

from __future__ import annotations

import json
import random
from array import array
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, overload

from tlplug.data.messages import listing
from tlplug.errors import UsageError
from tlplug.interfaces import Row, TaskHead

if TYPE_CHECKING:
    from datasets import Dataset

BATCH = 1000
"""Rows that are decoded at a time: one by one takes ten times as long."""


@dataclass(frozen=True, eq=False)
class Split(Sequence[Row]):
    """Rows with the places that they come from. A slice is a `Split` again."""

    name: str
    """train, validation or test."""
    rows: Dataset
    """The head's columns by the head's names, and `id`: the row's position in its source, from 0."""
    title: str
    """The source as a person calls it: a path, or `split 'train' of owner/name`."""
    place: Callable[[int], str]
    """Position in the source -> file and line, or the number of the row."""

    def where(self, index: int) -> str:
        """Return `file.jsonl, line 17` of the row at `index`; lines and rows are counted from 1."""
        return self.place(self[index]["id"])

    def __len__(self) -> int:
        return len(self.rows)

    def __iter__(self) -> Iterator[Row]:
        for batch in self.rows.iter(BATCH):
            for values in zip(*batch.values(), strict=True):
                yield self._read(dict(zip(batch, values, strict=True)))

    @overload
    def __getitem__(self, index: int) -> Row: ...

    @overload
    def __getitem__(self, index: slice) -> Split: ...

    def __getitem__(self, index: int | slice) -> Row | Split:
        if isinstance(index, slice):
            return replace(self, rows=self.rows.select(range(*index.indices(len(self)))))
        return self._read(self.rows[index])

    @cached_property
    def _json_columns(self) -> list[str]:
        """The columns whose values are JSON text (`features_of` says why)."""
        from datasets import Json

        features = self.rows.features.items()
        return [column for column, feature in features if isinstance(feature, Json) and not feature.decode]

    def _read(self, row: dict[str, Any]) -> Row:
        for column in self._json_columns:
            if row[column] is not None:
                row[column] = json.loads(row[column])
        return row


def shuffle(count: int, seed: int) -> array[int]:
    """Return the numbers below `count` in an order that depends only on `count` and `seed`.

    An array, since a list takes four times as much, which counts where the rows themselves are on disk.
    """
    order = array("q", range(count))
    random.Random(seed).shuffle(order)
    return order


def draw_limit(positions: Sequence[int], limit: int | None, seed: int) -> Sequence[int]:
    """Draw at most `limit` of the positions, in their own order; a smaller limit draws a part of a larger one."""
    if limit is None or limit >= len(positions):
        return positions
    return [positions[index] for index in sorted(shuffle(len(positions), seed)[:limit])]


def draw_splits(count: int, fractions: Mapping[str, float], seed: int) -> dict[str, array[int]]:
    """Split the positions below `count`: a share for each fraction and the rest for `train`, none twice.

    Raises:
        UsageError: nothing would be left to train on.
    """
    sizes = {name: max(1, round(count * fraction)) for name, fraction in fractions.items()}
    if sum(sizes.values()) >= count:
        settings = " and ".join(f"data.splits.{name}={fraction}" for name, fraction in fractions.items())
        raise UsageError(f"{settings} leave no row to train on: the training split has {count} rows.")
    order, parts = shuffle(count, seed), {}
    for name, size in sizes.items():
        parts[name], order = _sorted(order[:size]), order[size:]
    return {"train": _sorted(order), **parts}


def _sorted(numbers: array[int]) -> array[int]:
    import numpy as np

    np.frombuffer(numbers, dtype="q").sort()
    return numbers


def check_rows(splits: Mapping[str, Split], head: TaskHead, with_targets: bool = True) -> None:
    """Check every row with the head.

    Args:
        with_targets: whether the rows are for training or scoring.

    Raises:
        UsageError: a split is empty or rows are wrong; the first 20 with their file and line.
    """
    problems = [problem for split in splits.values() for problem in _row_errors(split, head, with_targets)]
    if problems:
        raise UsageError(f"the data cannot be used as it is:\n{listing(list(dict.fromkeys(problems)))}")


def _row_errors(split: Split, head: TaskHead, with_targets: bool) -> Iterator[str]:
    if not len(split):
        yield f"{split.title}: no rows for data.splits.{split.name}"
    for index, row in enumerate(split):
        if problem := head.row_error(row, with_targets):
            yield f"{split.where(index)}: {problem}"
