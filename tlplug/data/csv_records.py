"""The rows of a CSV or TSV file; a quoted field may go over several lines."""

from __future__ import annotations

import csv
import sys
from collections.abc import Iterator
from pathlib import Path

from tlplug.data.record import Record, decoded_lines

SEPARATORS = {".csv": ",", ".tsv": "\t"}


def csv_records(path: Path) -> Iterator[Record]:
    """Every cell is text; a row has one value for each column of the header."""
    rows = _rows(path)
    line, header, problem = next(rows, (1, [], "the file is empty; its first line names the columns"))
    twice = sorted({name for name in header if header.count(name) > 1})
    if problem or twice:
        yield Record(line, problem=problem or f"the header names a column twice: {', '.join(twice)}")
        return
    for line, fields, problem in rows:
        if problem is None and len(fields) != len(header):
            problem = f"{len(fields)} fields, where the header has {len(header)}: {', '.join(header)}"
        yield Record(line, {} if problem else dict(zip(header, fields, strict=True)), problem)


def _rows(path: Path) -> Iterator[tuple[int, list[str], str | None]]:
    """First line, fields and problem of each row that is not blank."""
    csv.field_size_limit(sys.maxsize)
    broken: dict[int, str] = {}
    reader = csv.reader(_texts(path, broken), delimiter=SEPARATORS[path.suffix.lower()], strict=True)
    while True:
        line = reader.line_num + 1
        try:
            fields = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            rule = "a quote inside a field is written twice, and a line ends in a line feed"
            yield line, [], f"cannot be split into fields ({error}); {rule}"
            continue
        problem = next((broken[at] for at in range(line, reader.line_num + 1) if at in broken), None)
        if problem or not _is_blank(fields):
            yield line, fields, problem


def _texts(path: Path, broken: dict[int, str]) -> Iterator[str]:
    for line, (text, problem) in enumerate(decoded_lines(path), start=1):
        if problem:
            broken[line] = problem
        yield text


def _is_blank(fields: list[str]) -> bool:
    return not fields or (len(fields) == 1 and fields[0].isspace())
