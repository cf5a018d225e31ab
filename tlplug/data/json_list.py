"""The items of one JSON list, one after another, however long the list is."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

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
