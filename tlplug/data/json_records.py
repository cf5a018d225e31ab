"""The rows of a JSON Lines file, or of a .json file that is one list of objects."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tlplug.data.record import Record, decoded_lines, kind

EXPECTED = 'an object {"column": value, ...}'

_BETWEEN_ITEMS = re.compile(r"[\s,]*")


def json_records(path: Path) -> Iterator[Record]:
    """One row for each object; blank lines are passed over."""
    is_list = path.suffix.lower() == ".json" and _first_character(path) == "["
    return _of_list(path) if is_list else _of_lines(path)


def _first_character(path: Path) -> str:
    return next((text.strip()[0] for text, _ in decoded_lines(path) if text.strip()), "")


def _of_lines(path: Path) -> Iterator[Record]:
    for line, (text, problem) in enumerate(decoded_lines(path), start=1):
        if problem:
            yield Record(line, problem=problem)
        elif text.strip():
            try:
                yield _record(line, json.loads(text))
            except json.JSONDecodeError as error:
                yield Record(line, problem=_broken(error))


def _of_list(path: Path) -> Iterator[Record]:
    lines = list(decoded_lines(path))
    broken = [Record(line, problem=told) for line, (_, told) in enumerate(lines, start=1) if told]
    return iter(broken) if broken else _items("".join(text for text, _ in lines))


def _items(text: str) -> Iterator[Record]:
    """The items of a JSON list; reading ends at the first one that cannot be read."""
    decoder = json.JSONDecoder()
    line, counted, position = 1, 0, _after_gap(text, text.index("[") + 1)
    while not text.startswith("]", position):
        line, counted = line + text.count("\n", counted, position), position
        try:
            value, end = decoder.raw_decode(text, position)
        except json.JSONDecodeError as error:
            yield Record(error.lineno, problem=_broken(error))
            return
        yield _record(line, value)
        position = _after_gap(text, end)
    if text[position + 1 :].strip():
        line += text.count("\n", counted, position)
        yield Record(line, problem="the list ends here and the file goes on; expected one list")


def _after_gap(text: str, position: int) -> int:
    gap = _BETWEEN_ITEMS.match(text, position)
    return gap.end() if gap else position


def _record(line: int, value: Any) -> Record:
    if isinstance(value, dict):
        return Record(line, value)
    return Record(line, problem=f"{kind(value)}; expected {EXPECTED}")


def _broken(error: json.JSONDecodeError) -> str:
    return f"not valid JSON ({error.msg}, character {error.colno}); expected {EXPECTED}"
