"""The rows of a CSV or TSV file; a quoted field may go over several lines."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from tlplug.data.readers.formats import SEPARATORS, format_of
from tlplug.data.readers.record import Record
from tlplug.data.readers.text_file import decoded_lines

LONGEST = 2**27
"""Characters of a field. A quote that is never closed would else take the rest of the file into memory."""


def csv_records(path: Path) -> Iterator[Record]:
    """Every cell is text; a row has one value for each column of the header."""
    rows = _rows(path)
    header = next(rows, _Row(1, problem="the file is empty; its first line names the columns"))
    twice = sorted({name for name in header.fields if header.fields.count(name) > 1})
    if header.problem or twice:
        problem = header.problem or f"the header names a column twice: {', '.join(twice)}"
        yield Record(header.line, problem=problem)
        return
    for row in rows:
        yield _record(row, header.fields)


@dataclass(frozen=True, slots=True)
class _Row:
    line: int
    fields: list[str] = field(default_factory=list)
    problem: str | None = None
    size: int = 0


def _record(row: _Row, header: list[str]) -> Record:
    if row.problem:
        return Record(row.line, problem=row.problem)
    if len(row.fields) != len(header):
        told = f"{len(row.fields)} fields, where the header has {len(header)}: {', '.join(header)}"
        return Record(row.line, problem=told)
    return Record(row.line, dict(zip(header, row.fields, strict=True)), size=row.size)


def _rows(path: Path) -> Iterator[_Row]:
    """The rows that are not blank."""
    csv.field_size_limit(LONGEST)
    taken: list[tuple[str, str | None]] = []
    reader = csv.reader(_texts(path, taken), delimiter=SEPARATORS[format_of(path)], strict=True)
    while True:
        line = reader.line_num + 1
        taken.clear()
        try:
            fields = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            rule = "a quote inside a field is written twice, and a line ends in a line feed"
            yield _Row(line, problem=f"cannot be split into fields ({error}); {rule}")
            continue
        problem = next((problem for _, problem in taken if problem), None)
        if problem or not _is_blank(fields, taken):
            yield _Row(line, fields, problem, sum(len(text) for text, _ in taken))


def _texts(path: Path, taken: list[tuple[str, str | None]]) -> Iterator[str]:
    """The lines; those that the reader took for the row that it is at are in `taken`."""
    for text, problem in decoded_lines(path):
        taken.append((text, problem))
        yield text


def _is_blank(fields: list[str], taken: list[tuple[str, str | None]]) -> bool:
    """Whether there is nothing at all: quoted blanks are a field, and so is what stands between separators."""
    return len(fields) < 2 and not any(text.strip() for text, _ in taken)
