"""One split of a data set."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, overload

from tlplug.contracts import Row

if TYPE_CHECKING:
    from datasets import Dataset


BATCH = 1000
"""Rows that are decoded at a time: one by one takes ten times as long."""


@dataclass(frozen=True, eq=False)
class Split(Sequence[Row]):
    """Rows that know where they come from. A slice is a `Split` again."""

    name: str
    """train, validation or test."""
    rows: Dataset
    """The head's columns by the head's names, and `id`: the row's position in its source, from 0."""
    title: str
    """The source as a person calls it: a path, or `split 'train' of owner/name`."""
    place: Callable[[int], str]
    """Position in the source -> where that is."""

    def where(self, index: int) -> str:
        """`file.jsonl, line 17` of the row at `index`; lines and rows are counted from 1."""
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
    def _texts(self) -> list[str]:
        """The columns whose values are still JSON text (`features_of` says why)."""
        from datasets import Json

        features = self.rows.features.items()
        return [column for column, feature in features if isinstance(feature, Json) and not feature.decode]

    def _read(self, row: dict[str, Any]) -> Row:
        for column in self._texts:
            if row[column] is not None:
                row[column] = json.loads(row[column])
        return row
