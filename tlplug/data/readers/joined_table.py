"""Several files as one table."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate
from typing import TYPE_CHECKING, Any

from tlplug.data.messages import names
from tlplug.data.readers.arrow_store import hold
from tlplug.data.readers.arrow_types import quiet_datasets
from tlplug.data.readers.table import FileTable, Table
from tlplug.data.readers.typed_table import ArrowTable
from tlplug.errors import UsageError

if TYPE_CHECKING:
    from datasets import Dataset


@dataclass(frozen=True)
class JoinedTable(Table):
    """The rows of the files in their order; each row knows its file."""

    pattern: str
    parts: tuple[FileTable, ...]

    @property
    def title(self) -> str:
        """The pattern that the files match."""
        return self.pattern

    def columns(self) -> list[str]:
        """The columns of the first file, which are those of the others.

        Raises:
            UsageError: a file has other columns, or numbers its classes in another way.
        """
        return self._columns

    def broken(self) -> list[str]:
        """What is broken in any of the files."""
        return [problem for part in self.parts for problem in part.broken()]

    def kinds(self, column: str) -> dict[str, str]:
        """Kind of value -> the first place in the first file that has it."""
        found: dict[str, str] = {}
        for part in self.parts:
            found |= {kind: place for kind, place in part.kinds(column).items() if kind not in found}
        return found

    def place(self, row: int) -> str:
        """Where the row is in its file."""
        part = bisect_right(self._starts, row) - 1
        return self.parts[part].place(row - self._starts[part])

    def load(self, columns: list[str]) -> Dataset:
        """The rows of all files; Arrow files of the same types are mapped, not copied."""
        if all(isinstance(part, ArrowTable) for part in self.parts):
            loaded = [part.load(columns).select_columns(columns) for part in self.parts]
            if all(one.features == loaded[0].features for one in loaded):
                return quiet_datasets().concatenate_datasets(loaded)
        size = sum(part.path.stat().st_size for part in self.parts)
        return hold(self._pieces(columns), self.title, self.place, size)

    def _pieces(self, columns: list[str]) -> Iterator[Any]:
        for part in self.parts:
            yield from part.pieces(columns)

    @cached_property
    def _starts(self) -> list[int]:
        """The position of each file's first row."""
        return [0, *accumulate(part.count() for part in self.parts)][:-1]

    @cached_property
    def _columns(self) -> list[str]:
        first = self.parts[0]
        for part in self.parts[1:]:
            if set(part.columns()) != set(first.columns()):
                raise UsageError(
                    f"the files of {self.title} are one table and have the same columns: "
                    f"{first.title} has {names(first.columns())}, and {part.title} has {names(part.columns())}."
                )
            if part.classes() != first.classes():
                raise UsageError(
                    f"the files of {self.title} are one table and number their classes alike: "
                    f"{first.title} has {first.classes()}, and {part.title} has {part.classes()}."
                )
        return first.columns()
