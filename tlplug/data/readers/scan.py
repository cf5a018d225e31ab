"""Find where the records of a text file begin."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from tlplug.data.readers.csv_reader import csv_records
from tlplug.data.readers.formats import SEPARATORS, format_of
from tlplug.data.readers.json_reader import json_records
from tlplug.data.readers.record import Record, kind
from tlplug.data.readers.text_file import decoded_lines

COLUMN = "text"


def plain_records(path: Path) -> Iterator[Record]:
    """One row for each line, as it stands but for its end; blank lines are passed over."""
    for line, (text, problem) in enumerate(decoded_lines(path), start=1):
        if problem:
            yield Record(line, problem=problem)
        elif text.strip():
            yield Record(line, {COLUMN: text.rstrip("\r\n")}, size=len(text))


_READERS: dict[str, Callable[[Path], Iterator[Record]]] = {
    **dict.fromkeys(SEPARATORS, csv_records),
    ".jsonl": json_records,
    ".json": json_records,
    ".txt": plain_records,
}


@dataclass
class Scan:
    """What one pass over a file found."""

    lines: array[int] = field(default_factory=lambda: array("Q"))
    """The line that each row begins on; 8 bytes each, for files of many millions of rows."""
    problems: list[tuple[int, str]] = field(default_factory=list)
    """Line and problem of each record that is not a row."""
    kinds: dict[str, dict[str, int]] = field(default_factory=dict)
    """Column -> kind of value -> the first line that has it."""


def records(path: Path) -> Iterator[Record]:
    """The rows of a text file; a broken one is told as a record with a problem."""
    return _READERS[format_of(path)](path)


def scan(path: Path) -> Scan:
    """Read the whole file once. A file without rows is a problem on line 1."""
    found = Scan()
    for record in records(path):
        if record.problem:
            found.problems.append((record.line, record.problem))
        else:
            _note(found, record)
    if not found.lines and not found.problems:
        found.problems.append((1, "the file has no rows"))
    return found


def _note(found: Scan, record: Record) -> None:
    found.lines.append(record.line)
    for column, value in record.values.items():
        kinds = found.kinds.setdefault(column, {})
        if value is not None:
            kinds.setdefault(kind(value), record.line)
