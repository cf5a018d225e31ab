"""Read JSON Lines and JSON lists."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tlplug.data.readers.formats import format_of
from tlplug.data.readers.record import Record, kind
from tlplug.data.readers.text_file import decoded_lines, decoded_pieces

_SPACE = re.compile(r"\s*")
_BETWEEN_ITEMS = re.compile(r"[\s,]*")
_LONGEST_WORD = 16
"""Characters that the end of a piece can cut a number, `true` or `\\u0041` back by."""


@dataclass(frozen=True, slots=True)
class Item:
    """An item and the line that it begins on, or what is wrong there."""

    line: int
    value: Any = None
    size: int = 0
    error: str | None = None
    after_end: bool = False
    """The file goes on after the list, which ends on this line."""


def list_items(pieces: Iterator[str]) -> Iterator[Item]:
    """The items of the list in a text that begins with `[`; the last one tells what is wrong, if anything."""
    text = _Text(pieces)
    text.pass_over(_SPACE)
    text.pass_one()
    text.pass_over(_BETWEEN_ITEMS)
    while not text.starts_with("]"):
        item = text.item()
        yield item
        if item.error:
            return
        text.pass_over(_BETWEEN_ITEMS)
    end = text.line
    text.pass_one()
    text.pass_over(_SPACE)
    if not text.at_end():
        yield Item(end, after_end=True)


class _Text:
    """What is left of a text that comes in pieces."""

    def __init__(self, pieces: Iterator[str]) -> None:
        self.pieces = pieces
        self.text = ""
        self.position = 0
        self.line = 1
        self.before = 0
        """Characters of the first line of `text` that have been dropped."""

    def pass_over(self, pattern: re.Pattern[str]) -> None:
        """Go on to where the pattern ends, over as many pieces as it goes."""
        while True:
            found = pattern.match(self.text, self.position)
            self._go_to(found.end() if found else self.position)
            if self.position < len(self.text) or not self._more():
                return

    def pass_one(self) -> None:
        """Go on by one character, which is no line feed."""
        self.position += 1

    def starts_with(self, character: str) -> bool:
        return self.text.startswith(character, self.position)

    def at_end(self) -> bool:
        return self.position == len(self.text)

    def item(self) -> Item:
        """The value here, and go on to behind it."""
        line, decoder = self.line, json.JSONDecoder()
        while True:
            try:
                value, end = decoder.raw_decode(self.text, self.position)
            except json.JSONDecodeError as error:
                if not (self._may_go_on(error) and self._more()):
                    return self._broken(error)
            except RecursionError:
                return Item(line, error="lists or objects in one another without end")
            except ValueError as error:
                return Item(line, error=str(error))
            else:
                if len(self.text) - end >= _LONGEST_WORD or not self._more():
                    size = end - self.position
                    self._go_to(end)
                    return Item(line, value, size)

    def _may_go_on(self, error: json.JSONDecodeError) -> bool:
        """Whether the error can come of the text's being cut off here."""
        is_text = error.msg.startswith("Unterminated string")
        return is_text or len(self.text[error.pos :].strip()) < _LONGEST_WORD

    def _broken(self, error: json.JSONDecodeError) -> Item:
        line = self.line + self.text.count("\n", self.position, error.pos)
        start = self.text.rfind("\n", 0, error.pos)
        column = error.pos - start if start >= 0 else self.before + error.pos + 1
        return Item(line, error=f"{error.msg}, character {column}")

    def _go_to(self, position: int) -> None:
        self.line += self.text.count("\n", self.position, position)
        self.position = position

    def _more(self) -> bool:
        """Take more of the text, as much again as is left; false at its end."""
        taken: list[str] = []
        wanted = max(1, len(self.text) - self.position)
        while wanted > 0 and (piece := next(self.pieces, None)) is not None:
            taken.append(piece)
            wanted -= len(piece)
        if not (more := "".join(taken)):
            return False
        start = self.text.rfind("\n", 0, self.position)
        self.before = self.position - start - 1 if start >= 0 else self.before + self.position
        self.text, self.position = self.text[self.position :] + more, 0
        return True


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
