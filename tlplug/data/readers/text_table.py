"""Read tables in CSV, TSV, JSON Lines, JSON and plain text files."""

from __future__ import annotations

from array import array
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from tlplug.data.readers.arrow_types import Columns, merge, type_of
from tlplug.data.readers.formats import ROWS, SIZE, DataFile
from tlplug.data.readers.records import Record, kind, read_records, undecodable_lines


class TextTable(DataFile):
    """A file with lines, read once beforehand to find what is broken, and of which types its columns are.

    Values are what stands there: a cell of a CSV is text (`NA`, `1` and the empty one too), one of JSON is what
    its JSON says, and a key that an object does not have is null. The builders of `datasets` make timestamps of
    text such as "2020-01-01", and fail at blank lines beside mixed columns and at keys that come late.
    """

    @cached_property
    def _scan(self) -> Scan:
        return scan(self.path)

    def columns(self) -> list[str]:
        """Return the header, or all keys that rows have."""
        return list(self._scan.examples)

    def count(self) -> int:
        """Return the number of rows, which are fewer than lines."""
        return len(self._scan.lines)

    def broken(self) -> list[str]:
        """Return each broken record with its line."""
        return [f"{self._line(line)}: {problem}" for line, problem in self._scan.problems]

    def kinds(self, column: str) -> dict[str, str]:
        """Return kind of value -> the first line that has it."""
        examples = self._scan.examples[column].values()
        return merge({kind(value): self._line(line)} for line, value in examples if value is not None)

    def types(self, column: str) -> dict[Any, str]:
        """Return type of value -> the first line that has it; a column in which an object stands is JSON text.

        A struct would give each object the keys of all the others, and each key one type.
        """
        import pyarrow as pa  # type: ignore[import-untyped]

        examples = self._scan.examples[column]
        if objects := [line for shape, (line, _) in examples.items() if _has_object(shape)]:
            return {pa.json_(): self._line(objects[0])}
        places = [(value, self._line(line)) for line, value in examples.values()]
        return merge({type_of(value, column, place): place} for value, place in places)

    def place(self, row: int) -> str:
        """Return the line that the row begins on."""
        return self._line(self._scan.lines[row])

    def pieces(self, columns: Columns) -> Iterator[Any]:
        """Yield the rows as `pyarrow.Table`s, read from the file a second time."""
        start = 0
        for chunk in _chunks(read_records(self.path)):
            values = {name: [record.values.get(name) for record in chunk] for name in columns.schema.names}
            yield columns.table(values, self.place, start)
            start += len(chunk)

    def _line(self, line: int) -> str:
        return f"{self.title}, line {line}"


@dataclass
class Scan:
    """What one pass over a file finds."""

    lines: array[int] = field(default_factory=lambda: array("Q"))
    """The line that each row begins on; 8 bytes each, for files of many millions of rows."""
    problems: list[tuple[int, str]] = field(default_factory=list)
    """Line and problem of each record that is not a row."""
    examples: dict[str, dict[Any, tuple[int, Any]]] = field(default_factory=lambda: defaultdict(dict))
    """Column -> shape of value -> the first line and value of that shape."""


def scan(path: Path) -> Scan:
    """Read the whole file once. A file without rows is a problem on line 1."""
    result = Scan()
    try:
        for record in read_records(path):
            if record.problem:
                result.problems.append((record.line, record.problem))
                continue
            result.lines.append(record.line)
            for column, value in record.values.items():
                shape = _shape(value) if type(value) is list else type(value)
                if shape not in result.examples[column]:
                    result.examples[column][shape] = record.line, value
    except UnicodeDecodeError:
        result.problems = undecodable_lines(path)
    if not result.lines and not result.problems:
        result.problems.append((1, "the file has no rows"))
    return result


def _shape(value: Any) -> Any:
    """Return what the Arrow type of a JSON value depends on: its type, or the set of its items' shapes."""
    if type(value) is not list:
        return type(value)
    types = set(map(type, value))
    return frozenset(map(_shape, value) if list in types else types)


def _has_object(shape: Any) -> bool:
    return shape is dict or (isinstance(shape, frozenset) and any(map(_has_object, shape)))


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
