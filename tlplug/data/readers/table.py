"""What every store of rows can tell before its rows are read."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tlplug.data.messages import shown_path
from tlplug.data.readers.arrow_store import hold

if TYPE_CHECKING:
    from datasets import Dataset

ROWS = 5000
"""Rows of a piece."""
SIZE = 2**23
"""Characters or bytes of a piece, about: long rows come in smaller pieces."""


class Table:
    """Rows under column names, not yet read."""

    @property
    def title(self) -> str:
        """The table as a person calls it: a path, or `split 'train' of owner/name`."""
        raise NotImplementedError

    def columns(self) -> list[str]:
        """The names of the columns."""
        raise NotImplementedError

    def load(self, columns: list[str]) -> Dataset:
        """All rows, with at least these columns."""
        raise NotImplementedError

    def broken(self) -> list[str]:
        """What cannot be read as a row: each with its place."""
        return []

    def kinds(self, column: str) -> dict[str, str]:
        """Kind of value -> the first place that has it, where the format lets a column mix them."""
        return {}

    def place(self, row: int) -> str:
        """Where the row at this position is; rows and lines are counted from 1."""
        return f"{self.title}, row {row + 1}"


@dataclass(frozen=True)
class FileTable(Table):
    """A file on this machine. It leaves nothing in the cache of `datasets`."""

    path: Path

    @property
    def title(self) -> str:
        """The path, as short as the working directory allows."""
        return shown_path(self.path)

    def count(self) -> int:
        """How many rows there are."""
        raise NotImplementedError

    def pieces(self, columns: list[str]) -> Iterator[Any]:
        """The rows, some thousand at a time: `pyarrow.Table`s with these columns in this order."""
        raise NotImplementedError

    def classes(self) -> dict[str, list[str]]:
        """Column -> the names of its classes, where the file numbers them."""
        return {}

    def load(self, columns: list[str]) -> Dataset:
        """These columns; of a large table they are in a temporary file, not in memory."""
        return hold(self.pieces(columns), self.title, self.place, self.path.stat().st_size)
