"""Tables in CSV, TSV, JSON Lines, JSON and plain text files."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator
from functools import cached_property
from typing import Any

from tlplug.data.readers.arrow_types import column_of
from tlplug.data.readers.record import Record
from tlplug.data.readers.scan import Scan, records, scan
from tlplug.data.readers.table import ROWS, SIZE, FileTable
from tlplug.errors import UsageError


class TextTable(FileTable):
    """A file with lines, read once beforehand to find what is broken.

    Values are what stands there: a cell of a CSV is text (`NA`, `1` and the empty one too), one of JSON is what
    its JSON says, and a key that an object does not have is null. The builders of `datasets` make timestamps of
    text such as "2020-01-01", and fail at blank lines beside mixed columns and at keys that come late.
    """

    @cached_property
    def _scan(self) -> Scan:
        return scan(self.path)

    def columns(self) -> list[str]:
        """The header, or all keys that rows have."""
        return list(self._scan.kinds)

    def count(self) -> int:
        """How many rows there are, which are fewer than lines."""
        return len(self._scan.lines)

    def broken(self) -> list[str]:
        """Each broken record with its line."""
        return [f"{self._line(line)}: {problem}" for line, problem in self._scan.problems]

    def kinds(self, column: str) -> dict[str, str]:
        """Kind of value -> the first line that has it."""
        return {kind: self._line(line) for kind, line in self._scan.kinds[column].items()}

    def place(self, row: int) -> str:
        """The line that the row begins on."""
        return self._line(self._scan.lines[row])

    def pieces(self, columns: list[str]) -> Iterator[Any]:
        """The rows, read from the file a second time.

        Raises:
            UsageError: a value has no type, such as a list of numbers and text.
        """
        import pyarrow as pa  # type: ignore[import-untyped]

        for chunk in _chunks(records(self.path)):
            yield pa.table({column: self._column(column, chunk) for column in columns})

    def _column(self, column: str, chunk: list[Record]) -> Any:
        values = [record.values.get(column) for record in chunk]
        try:
            return column_of(values)
        except ValueError as error:
            row = bisect_left(range(1, len(values)), True, key=lambda count: not _has_type(values[:count]))
            where = self._line(chunk[row].line)
            raise UsageError(f'{where}: "{column}" has an unusable value: {error}') from error

    def _line(self, line: int) -> str:
        return f"{self.title}, line {line}"


def _has_type(values: list[Any]) -> bool:
    try:
        return bool(len(column_of(values)))
    except ValueError:
        return False


def _chunks(found: Iterator[Record]) -> Iterator[list[Record]]:
    chunk: list[Record] = []
    size = 0
    for record in found:
        chunk.append(record)
        size += record.size
        if len(chunk) == ROWS or size >= SIZE:
            yield chunk
            chunk, size = [], 0
    if chunk:
        yield chunk
