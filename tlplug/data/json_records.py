"""The rows of a JSON Lines file, or of a .json file that is one list of objects."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tlplug.data.formats import format_of
from tlplug.data.json_list import Item, list_items
from tlplug.data.record import Record, kind
from tlplug.data.text_file import decoded_lines, decoded_pieces

EXPECTED = 'an object {"column": value, ...}'


def json_records(path: Path) -> Iterator[Record]:
    """One row for each object; blank lines are passed over."""
    is_list = format_of(path) == ".json" and _first_character(path) == "["
    return _of_list(path) if is_list else _of_lines(path)


def _first_character(path: Path) -> str:
    return next((text.strip()[0] for text in decoded_pieces(path, "replace") if text.strip()), "")


def _of_lines(path: Path) -> Iterator[Record]:
    for line, (text, problem) in enumerate(decoded_lines(path), start=1):
        if problem:
            yield Record(line, problem=problem)
        elif text.strip():
            yield _of_line(line, text)


def _of_line(line: int, text: str) -> Record:
    try:
        return _record(line, json.loads(text), len(text))
    except json.JSONDecodeError as error:
        return Record(line, problem=_broken(f"{error.msg}, character {error.colno}"))
    except RecursionError:
        return Record(line, problem=_broken("lists or objects in one another without end"))
    except ValueError as error:
        return Record(line, problem=_broken(str(error)))


def _of_list(path: Path) -> Iterator[Record]:
    """Its items; reading ends at the first one that cannot be read."""
    try:
        for item in list_items(decoded_pieces(path)):
            yield _of_item(item)
    except UnicodeDecodeError:
        for line, (_, problem) in enumerate(decoded_lines(path), start=1):
            if problem:
                yield Record(line, problem=problem)


def _of_item(item: Item) -> Record:
    if item.after_end:
        return Record(item.line, problem="the list ends here and the file goes on; expected one list")
    if item.error:
        return Record(item.line, problem=_broken(item.error))
    return _record(item.line, item.value, item.size)


def _record(line: int, value: Any, size: int) -> Record:
    if isinstance(value, dict):
        return Record(line, value, size=size)
    return Record(line, problem=f"{kind(value)}; expected {EXPECTED}")


def _broken(reason: str) -> str:
    return f"not valid JSON ({reason}); expected {EXPECTED}"
