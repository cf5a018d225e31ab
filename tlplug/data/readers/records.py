"""Read CSV, TSV, JSON, JSON Lines and plain text, row by row, each row with its line or with what is wrong there.

The csv module reads tables: `pyarrow.csv` has no strict mode, so that a stray quote changes a text without a word.
"""

from __future__ import annotations

import codecs
import csv
import gzip
import io
import json
import re
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from tlplug.data.messages import shown_path
from tlplug.data.readers.formats import PACKED, SEPARATORS, format_of
from tlplug.errors import UsageError

COLUMN = "text"
"""The only column of a plain text file."""
LONGEST = 2**27
"""Characters of a field. A quote that is never closed would else take the rest of the file into memory."""


class Record(NamedTuple):
    """A row and the line that it begins on."""

    line: int
    values: dict[str, Any]
    size: int = 0
    """Characters that it takes in the file."""
    problem: str | None = None


def read_records(path: Path) -> Iterator[Record]:
    """Yield the rows; blank lines are skipped.

    Raises:
        UsageError: the file cannot be read or unpacked.
        UnicodeDecodeError: it is not UTF-8.
    """
    form = format_of(path)
    is_list = form == ".json" and _begins_list(path)
    with _open_text(path) as file:
        if form in SEPARATORS:
            yield from _table_rows(file, SEPARATORS[form])
        elif is_list:
            yield from _list_items(file.read())
        else:
            for line, text in enumerate(file, start=1):
                if text.strip():
                    is_text = form == ".txt"
                    values = {COLUMN: text.rstrip("\r\n")}
                    yield Record(line, values, len(text)) if is_text else _json_line(line, text)


def undecodable_lines(path: Path) -> list[tuple[int, str]]:
    """Return number and problem of each line that is not UTF-8."""
    problems = []
    with _open_bytes(path) as file:
        for number, line in enumerate(file, start=1):
            try:
                line.decode()
            except UnicodeDecodeError as error:
                problems.append((number, f"byte {error.start + 1} is not UTF-8; save the file as UTF-8"))
    return problems


def _table_rows(file: io.TextIOWrapper, separator: str) -> Iterator[Record]:
    """Yield the rows of CSV or TSV: every cell is text, and each column of the header has one."""
    rows = _split_rows(file, separator)
    line, header, _, problem = next(rows, (1, [], 0, "the file is empty; its first line names the columns"))
    if twice := sorted({name for name in header if header.count(name) > 1}):
        problem = f"the header names a column twice: {', '.join(twice)}"
    if problem:
        yield Record(line, {}, problem=problem)
        return
    for line, fields, size, problem in rows:
        if not problem and len(fields) != len(header):
            problem = f"{len(fields)} fields, where the header has {len(header)}: {', '.join(header)}"
        yield Record(line, dict(zip(header, fields, strict=False)), size, problem)


def _split_rows(file: io.TextIOWrapper, separator: str) -> Iterator[tuple[int, list[str], int, str | None]]:
    """Yield line, fields, characters and problem of each row that is not blank; quoted blanks are a field."""

    def read() -> Iterator[str]:
        for text in file:
            lines.append(text)
            yield text

    csv.field_size_limit(LONGEST)
    lines: list[str] = []
    reader = csv.reader(read(), delimiter=separator, strict=True)
    while True:
        line = reader.line_num + 1
        lines.clear()
        try:
            fields = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            rule = "a quote inside a field is written twice, and a line ends in a line feed"
            yield line, [], 0, f"cannot be split into fields ({error}); {rule}"
            continue
        if len(fields) > 1 or any(text.strip() for text in lines):
            yield line, fields, sum(map(len, lines)), None


def _begins_list(path: Path) -> bool:
    with _open_text(path) as file:
        while (character := file.read(1)).isspace():
            pass
    return character == "["


_SPACE = re.compile(r"\s*")
_SEPARATOR = re.compile(r"\s*(,\s*|(?=\]))")


def _list_items(text: str) -> Iterator[Record]:
    """Yield the items of a JSON list, up to the first that cannot be read."""
    decoder = json.JSONDecoder()
    position = _end(_SPACE, text, text.index("[") + 1)
    line = 1 + text.count("\n", 0, position)
    try:
        while not text.startswith("]", position):
            value, end = decoder.raw_decode(text, position)
            yield _row(line, value, end - position)
            start, position = position, _end(_SEPARATOR, text, end)
            line += text.count("\n", start, position)
    except (RecursionError, ValueError) as error:
        yield _invalid(getattr(error, "lineno", line), error)
    else:
        if text[position + 1 :].strip():
            yield Record(line, {}, problem="the list ends here and the file goes on; expected one list")


def _end(pattern: re.Pattern[str], text: str, start: int) -> int:
    """Return where the text that matches ends."""
    if match := pattern.match(text, start):
        return match.end()
    raise json.JSONDecodeError("Expecting ',' delimiter", text, _end(_SPACE, text, start))


def _json_line(line: int, text: str) -> Record:
    try:
        return _row(line, json.loads(text), len(text))
    except (RecursionError, ValueError) as error:
        return _invalid(line, error)


EXPECTED = 'expected an object {"column": value, ...}'


def _row(line: int, value: Any, size: int) -> Record:
    if isinstance(value, dict):
        return Record(line, value, size)
    return Record(line, {}, problem=f"{kind(value)}; {EXPECTED}")


def _invalid(line: int, error: Exception) -> Record:
    reason = str(error)
    if isinstance(error, json.JSONDecodeError):
        reason = f"{error.msg}, character {error.colno}"
    elif isinstance(error, RecursionError):
        reason = "lists or objects in one another without end"
    return Record(line, {}, problem=f"not valid JSON ({reason}); {EXPECTED}")


def kind(value: Any) -> str:
    """Return what a person calls a JSON value."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true or false"
    if isinstance(value, str):
        return "text"
    if isinstance(value, (int, float)):
        return "a number"
    return "a list" if isinstance(value, list) else "an object"


@contextmanager
def _open_text(path: Path) -> Iterator[io.TextIOWrapper]:
    """Open a file of UTF-8, whose lines end in a line feed. A byte order mark is skipped."""
    with _open_bytes(path) as file, io.TextIOWrapper(file, encoding="utf-8", newline="\n") as text:
        yield text


@contextmanager
def _open_bytes(path: Path) -> Iterator[io.BufferedReader | gzip.GzipFile]:
    """Open the unpacked bytes; an error that occurs while they are read becomes a `UsageError`."""
    try:
        with gzip.open(path) if path.name.lower().endswith(PACKED) else path.open("rb") as file:
            if file.peek(len(codecs.BOM_UTF8)).startswith(codecs.BOM_UTF8):
                file.read(len(codecs.BOM_UTF8))
            yield file
    except EOFError as error:
        raise UsageError(
            f"{shown_path(path)} is cut off: its gzip data has no end. Copy or pack it again."
        ) from error
    except (gzip.BadGzipFile, zlib.error) as error:
        raise UsageError(
            f"{shown_path(path)} cannot be unpacked as gzip: {error}. "
            f"Pack it again, or take {PACKED} off its name if it is not packed."
        ) from error
    except OSError as error:
        raise UsageError(f"{shown_path(path)} cannot be read: {error.strerror or error}.") from error
