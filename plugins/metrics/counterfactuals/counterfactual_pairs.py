"""Read pairs of words, and swap the words of a text for their counterparts."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib.resources import files
from pathlib import Path
from typing import Any

from tlplug import Row


def read_pairs(pairs: Any) -> list[tuple[str, str]]:
    """Return the pairs of words of a list that ships, of a file or of the config.

    Raises:
        ValueError: no such list or file, or something in it is no pair of two different words.
    """
    if isinstance(pairs, str):
        lines = [line.split("#")[0].split() for line in text_of(pairs).splitlines()]
        pairs = [line for line in lines if line]
    if not isinstance(pairs, Sequence) or not len(pairs):
        raise ValueError(f"pairs is {pairs!r}; it is a list's name, a file or a list of lists of two words")
    for pair in pairs:
        words = list(pair) if isinstance(pair, Sequence) and not isinstance(pair, str) else []
        if len(words) != 2 or not all(isinstance(word, str) and word.strip() for word in words):
            raise ValueError(f"pairs has {pair!r}, which should be two words")
        if words[0].lower() == words[1].lower():
            raise ValueError(f"pairs has {pair!r}, which is one word twice")
    return [(one.strip(), other.strip()) for one, other in pairs]


def text_of(name: str) -> str:
    shipped = files("tlplug_conf") / "counterfactuals"
    names = sorted(
        entry.name.removesuffix(".txt") for entry in shipped.iterdir() if entry.name[-4:] == ".txt"
    )
    if name in names:
        return (shipped / f"{name}.txt").read_text(encoding="utf-8")
    if not name or not Path(name).is_file():
        raise ValueError(f"pairs is {name!r}, which is no file, and no list that ships: {', '.join(names)}")
    return Path(name).read_text(encoding="utf-8")


@dataclass(frozen=True)
class Swapper:
    """Swap every word of a pair for its counterpart; the first pair with a word counts."""

    pairs: Sequence[tuple[str, str]]

    @cached_property
    def other(self) -> dict[str, str]:
        counterparts: dict[str, str] = {}
        for one, other in self.pairs:
            counterparts.setdefault(one.lower(), other)
            counterparts.setdefault(other.lower(), one)
        return counterparts

    @cached_property
    def pattern(self) -> re.Pattern[str]:
        words = sorted(map(re.escape, self.other), key=len, reverse=True)
        return re.compile(rf"(?<!\w)(?:{'|'.join(words)})(?!\w)", re.IGNORECASE)

    def text(self, text: str) -> str:
        return self.pattern.sub(lambda match: cased(self.other[match[0].lower()], match[0]), text)

    def row(self, row: Row, columns: Sequence[str]) -> dict[str, Any]:
        return {name: self.swapped(value) if name in columns else value for name, value in row.items()}

    def swapped(self, value: Any) -> Any:
        """Swap in a text or a list of texts; return any other value unchanged."""
        if isinstance(value, str):
            return self.text(value)
        return [self.swapped(each) for each in value] if isinstance(value, list) else value


def cased(word: str, like: str) -> str:
    """Return the word with the capitals of `like`: all, the first, or none."""
    if like.isupper() and len(like) > 1:
        return word.upper()
    return word[0].upper() + word[1:].lower() if like[0].isupper() else word.lower()
