"""Read a value with any characters in its texts: Hydra's grammar has no words for `café.csv`, `a&b` or `Rating (1-5)`."""

from __future__ import annotations

import re
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Quote, QuotedString
from hydra.errors import HydraException

ESCAPED = re.compile(r"\\([\\()\[\]{}:=, \t'\"])")


def read_value(text: str) -> list[Any]:
    """Return the values that the commas outside of brackets and quotes separate.

    A value is a list, a dictionary, a `QuotedString`, or else a `str` as it was typed: `1e5` and `true` are texts. What
    only begins like a list, a dictionary or a quoted text is a text.
    """
    return ValueReader(text).values()


def hydra_value(value: Any) -> Any:
    """Return a value of `read_value` with numbers, booleans and null in place of the texts that Hydra reads as such."""
    if isinstance(value, list):
        return [hydra_value(item) for item in value]
    if isinstance(value, dict):
        return {hydra_value(key): hydra_value(item) for key, item in value.items()}
    if isinstance(value, QuotedString):
        return value.text
    try:
        parsed = OverridesParser.create().parse_override(f"key={value}")
    except (HydraException, ValueError):
        return value
    return value if parsed.is_sweep_override() else parsed.value()


def text_value(value: Any) -> Any:
    """Return a value of `read_value` with all texts as they were typed, those in quotes without them."""
    if isinstance(value, list):
        return [text_value(item) for item in value]
    if isinstance(value, dict):
        return {text_value(key): text_value(item) for key, item in value.items()}
    return value.text if isinstance(value, QuotedString) else value


class ValueReader:
    """Read values from left to right; a reading that fails raises ValueError and is followed by the next kind."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.position = 0

    def values(self) -> list[Any]:
        """Return the values up to the end of the text."""
        values = [self._value(",")]
        while self._take(","):
            values.append(self._value(","))
        return values

    def _value(self, stops: str) -> Any:
        """Return the value up to one of `stops` or the end."""
        start = self.position
        for read in (self._quoted, self._list, self._dictionary):
            try:
                value = read()
                self._expect(rf"(?=[{re.escape(stops)}]|$)")
                return value
            except ValueError:
                self.position = start
        return ESCAPED.sub(r"\1", self._expect(rf"(?:\\.|[^{re.escape(stops)}])*").strip())

    def _quoted(self) -> QuotedString:
        quote = self._expect("['\"]")
        text = self._expect(rf"(?:\\.|[^\\{quote}])*{quote}")[:-1]
        return QuotedString(text.replace(f"\\{quote}", quote), Quote.single if quote == "'" else Quote.double)

    def _list(self) -> list[Any]:
        self._expect(r"\[")
        items: list[Any] = []
        while not self._take(r"\]"):
            if items:
                self._expect(",")
            items.append(self._value(",]"))
        return items

    def _dictionary(self) -> dict[Any, Any]:
        self._expect(r"\{")
        items: dict[Any, Any] = {}
        while not self._take(r"\}"):
            if items:
                self._expect(",")
            key = self._value(":,}")
            self._expect(":")
            items[key] = self._value(",}")
        return items

    def _take(self, pattern: str) -> str | None:
        """Return the text at the position, without blanks before it, if it matches, and move behind it."""
        match = re.compile(rf"[ \t]*({pattern})", re.DOTALL).match(self.text, self.position)
        if match is None:
            return None
        self.position = match.end()
        return match[1]

    def _expect(self, pattern: str) -> str:
        text = self._take(pattern)
        if text is None:
            raise ValueError(f"{pattern} expected at {self.position} of {self.text}")
        return text
