"""Read one file, or several as one table."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate
from typing import TYPE_CHECKING

from tlplug.data.messages import names
from tlplug.data.readers.arrow_store import store
from tlplug.data.readers.arrow_types import Columns, class_names, merge, quiet_datasets
from tlplug.data.readers.text_table import TextTable
from tlplug.data.readers.typed_table import ArrowTable, TypedTable
from tlplug.errors import UsageError

if TYPE_CHECKING:
    from datasets import Dataset


@dataclass(frozen=True)
class FilesTable:
    """The rows of all files, in their order. It leaves nothing in the cache of `datasets`."""

    title: str
    """The path, or the pattern that the files match."""
    files: tuple[TextTable | TypedTable, ...]

    def broken(self) -> list[str]:
        """Return what cannot be read as a row, each with its place."""
        return [problem for file in self.files for problem in file.broken()]

    def kinds(self, column: str) -> dict[str, str]:
        """Return kind of value -> the first place that has it, where the format lets a column mix them."""
        return merge(file.kinds(column) for file in self.files)

    def place(self, row: int) -> str:
        """Return where the row at this position is in its file; rows and lines are counted from 1."""
        file = bisect_right(self._starts, row) - 1
        return self.files[file].place(row - self._starts[file])

    @cached_property
    def _starts(self) -> list[int]:
        """The position of each file's first row."""
        return [0, *accumulate(file.count() for file in self.files)][:-1]

    def columns(self) -> list[str]:
        """Return the columns of the first file, which are those of the others.

        Raises:
            UsageError: a file has other columns, or numbers its classes in another way.
        """
        first = self.files[0]
        for file in self.files[1:]:
            if set(file.columns()) != set(first.columns()):
                raise UsageError(
                    f"the files of {self.title} are one table and have the same columns: "
                    f"{first.title} has {names(first.columns())}, and {file.title} has {names(file.columns())}."
                )
            one, other = class_names(first.metadata), class_names(file.metadata)
            if one != other:
                raise UsageError(
                    f"the files of {self.title} are one table and number their classes alike: "
                    f"{first.title} has {one}, and {file.title} has {other}."
                )
        return first.columns()

    def load(self, columns: list[str]) -> Dataset:
        """Return these columns; those of Arrow files are mapped, and of other large files in a temporary one.

        Raises:
            UsageError: no type holds all values of a column, or there is no room for the rows.
        """
        if all(isinstance(file, ArrowTable) for file in self.files):
            mapped = [file.map(columns) for file in self.files if isinstance(file, ArrowTable)]
            if all(rows.features == mapped[0].features for rows in mapped):
                return quiet_datasets().concatenate_datasets(mapped)
        origins = {column: merge(file.types(column) for file in self.files) for column in columns}
        typed = Columns(origins, self.files[0].metadata)
        pieces = (piece for file in self.files for piece in file.pieces(typed))
        return store(pieces, typed.schema, self.title, sum(file.path.stat().st_size for file in self.files))
