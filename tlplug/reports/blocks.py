"""What a report is made of: sections of plain blocks, which a page and a Markdown file write each in its own way.

All strings are plain text; a command or a key stands in `backticks`. Only what `Chart.draw` gives is markup.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Text:
    """A paragraph."""

    words: str
    kind: str = ""
    """`note` for the small print, `lack` for what was not measured, `shades` for what explains those of cells, `advice` for
    what follows a verdict."""


@dataclass(frozen=True)
class Cell:
    """One of a table, shaded by how much of something it stands for."""

    words: str
    shade: float = 0.0
    """From 0, the paper, to 1."""


@dataclass(frozen=True)
class Table:
    """Rows under their heads; the first cell of each names the row."""

    title: str
    heads: Sequence[str]
    rows: Sequence[Sequence[str | Cell]]
    marked: int | None = None
    """The row that is this run's."""


@dataclass(frozen=True)
class Fact:
    """A value that has a name, and what it means in a sentence."""

    name: str
    value: str
    meaning: str
    lack: bool = False
    """Not measured; `meaning` is the reason."""


@dataclass(frozen=True)
class Facts:
    """Values below each other."""

    facts: Sequence[Fact]


@dataclass(frozen=True)
class Chart:
    """A picture, its finding in words, and its data."""

    draw: Callable[..., Any]
    """Gives it as SVG, or with `kind` as the bytes of a PNG; not called where there is no room for pictures."""
    told: str
    data: Table
    unfolded: bool = False
    """Whether the data stand beside the picture, which then needs no words."""


@dataclass(frozen=True)
class Code:
    """A command line."""

    words: str


@dataclass(frozen=True)
class Example:
    """A test row: its columns, and who said what of it."""

    columns: Sequence[tuple[str, str]]
    told: Sequence[tuple[str, str]]


@dataclass(frozen=True)
class Examples:
    """Several of a kind."""

    title: str
    examples: Sequence[Example]
    unfolded: bool = False


Block = Text | Table | Facts | Chart | Code | Examples


@dataclass(frozen=True)
class Section:
    """A question and its answer."""

    name: str
    title: str
    blocks: Sequence[Block] = field(default_factory=list)


@dataclass(frozen=True)
class Report:
    """A verdict, the figures to know first, and the sections with what they rest on."""

    title: str
    verdict: Sequence[Block]
    sections: Sequence[Section]
    about: str = ""
    glance: Sequence[Fact] = ()
    outcome: str = "open"
    """`good`, `bad` or `open`."""
