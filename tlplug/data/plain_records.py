"""The rows of a plain text file: its lines."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from tlplug.data.record import Record
from tlplug.data.text_file import decoded_lines

COLUMN = "text"


def plain_records(path: Path) -> Iterator[Record]:
    """One row for each line, as it stands but for its end; blank lines are passed over."""
    for line, (text, problem) in enumerate(decoded_lines(path), start=1):
        if problem:
            yield Record(line, problem=problem)
        elif text.strip():
            yield Record(line, {COLUMN: text.rstrip("\r\n")}, size=len(text))
