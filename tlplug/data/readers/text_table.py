"""Read tables in CSV, TSV, JSON Lines, JSON and plain text files."""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from tlplug.data.readers.arrow_types import column_of
from tlplug.data.readers.records import Record, kind, read_records
from tlplug.data.readers.table import ROWS, SIZE, FileTable
from tlplug.data.readers.text_file import undecodable_lines
from tlplug.errors import UsageError


@dataclass
class Scan:
    """What one pass over a file finds."""

    lines: array[int] = field(default_factory=lambda: array("Q"))
    """The line that each row begins on; 8 bytes each, for files of many millions of rows."""
    problems: list[tuple[int, str]] = field(default_factory=list)
    """Line and problem of each record that is not a row."""
    kinds: dict[str, dict[str, int]] = field(default_factory=dict)
    """Column -> kind of value -> the first line that has it."""


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

        for chunk in _chunks(read_records(self.path)):
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


def scan(path: Path) -> Scan:
    """Read the whole file once. A file without rows is a problem on line 1."""
    result = Scan()
    try:
        for record in read_records(path):
            if record.problem:
                result.problems.append((record.line, record.problem))
            else:
                _note(result, record)
    except UnicodeDecodeError:
        result.problems = undecodable_lines(path)
    if not result.lines and not result.problems:
        result.problems.append((1, "the file has no rows"))
    return result


def _note(result: Scan, record: Record) -> None:
    result.lines.append(record.line)
    for column, value in record.values.items():
        kinds = result.kinds.setdefault(column, {})
        if value is not None:
            kinds.setdefault(kind(value), record.line)


def _has_type(values: list[Any]) -> bool:
    try:
        return bool(len(column_of(values)))
    except ValueError:
        return False


def _chunks(records: Iterator[Record]) -> Iterator[list[Record]]:
    chunk: list[Record] = []
    size = 0
    for record in records:
        chunk.append(record)
        size += record.size
        if len(chunk) == ROWS or size >= SIZE:
            yield chunk
            chunk, size = [], 0
    if chunk:
        yield chunk
