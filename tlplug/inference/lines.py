"""JSON Lines in, JSON Lines out."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any, TextIO

from tlplug.errors import UsageError
from tlplug.interfaces import Prediction


class Lines:
    """The text or object of each line of a file; blank lines are passed over."""

    def __init__(self, file: Iterable[bytes], name: str) -> None:
        self.file = file
        self.name = name
        self.numbers: list[int] = []
        """The line that each value stood on."""

    def place(self, position: int) -> str:
        """Where the value of that position stands."""
        return f"{self.name}, line {self.numbers[position]}"

    def __iter__(self) -> Iterator[Any]:
        """
        Raises:
            UsageError: a line is no JSON; says which. What came before it has been handed out.
        """
        for number, raw in enumerate(self.file, start=1):
            if raw.strip():
                self.numbers.append(number)
                yield self._value(raw, "utf-8-sig" if number == 1 else "utf-8")

    def _value(self, raw: bytes, encoding: str) -> Any:
        place = self.place(len(self.numbers) - 1)
        try:
            return json.loads(raw.decode(encoding))
        except UnicodeDecodeError as error:
            raise UsageError(f"{place}: byte {error.start + 1} is not UTF-8") from error
        except json.JSONDecodeError as error:
            raise UsageError(
                f"{place}: not JSON ({error.msg}, character {error.colno}); "
                'expected an object such as {"text": "..."}'
            ) from error


def write_lines(predictions: Iterable[Prediction], out: TextIO) -> None:
    """A line each, sent on at once."""
    for prediction in predictions:
        out.write(json.dumps(prediction, ensure_ascii=False) + "\n")
        out.flush()
