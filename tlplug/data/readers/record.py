"""A row of a text file, or what is wrong with it; the base of all readers of text."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Record:
    """One row and the line that it begins on."""

    line: int
    values: dict[str, Any] = field(default_factory=dict)
    problem: str | None = None
    size: int = 0
    """Characters that it takes in the file."""


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
