"""From the rows of a text file to its lines: what is broken, and where each row begins."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from tlplug.data.csv_records import SEPARATORS, csv_records
from tlplug.data.json_records import json_records
from tlplug.data.record import Record, kind


@dataclass
class Scan:
    """What one pass over a file found."""

    lines: list[int] = field(default_factory=list)
    """The line that each row begins on."""
    problems: list[tuple[int, str]] = field(default_factory=list)
    """Line and problem of each record that is not a row."""
    kinds: dict[str, dict[str, int]] = field(default_factory=dict)
    """Column -> kind of value -> the first line that has it."""


def records(path: Path) -> Iterator[Record]:
    """The rows of a .csv, .tsv, .jsonl or .json file; a broken one is told as a record with a problem."""
    return csv_records(path) if path.suffix.lower() in SEPARATORS else json_records(path)


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
