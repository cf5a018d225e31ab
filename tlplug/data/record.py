"""A row of a text file, or what is wrong with it; the base of the CSV and JSON readers."""

from __future__ import annotations

import codecs
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Record:
    """One row and the line that it begins on."""

    line: int
    values: dict[str, Any] = field(default_factory=dict)
    problem: str | None = None


def decoded_lines(path: Path) -> Iterator[tuple[str, str | None]]:
    """Each line's text and, where its bytes are not UTF-8, the problem. A byte order mark is dropped."""
    with path.open("rb") as file:
        for number, raw in enumerate(file):
            line = raw.removeprefix(codecs.BOM_UTF8) if number == 0 else raw
            try:
                yield line.decode(), None
            except UnicodeDecodeError as error:
                problem = f"byte {error.start + 1} is not UTF-8; save the file as UTF-8"
                yield line.decode(errors="replace"), problem


def kind(value: Any) -> str:
    """What a person calls a JSON value."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true or false"
    if isinstance(value, str):
        return "text"
    if isinstance(value, (int, float)):
        return "a number"
    return "a list" if isinstance(value, list) else "an object"
