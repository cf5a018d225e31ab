"""Render report.md, for a place that shows Markdown."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import singledispatch
from html import escape

from tlplug.reports.blocks import Block, Cell, Chart, Code, Examples, Facts, Report, Section, Table, Text

SPECIAL = re.compile(r"([\\`*_\[\]<>|~#$&@!]|:(?=//))")


def markdown(report: Report) -> str:
    """Return the whole file; charts stand as their tables."""
    glance = Table(
        "",
        [fact.name for fact in report.glance],
        [[f"{fact.value} ({fact.meaning})" for fact in report.glance]],
    )
    parts = [
        f"# {plain(report.title)}",
        *([plain(report.about)] if report.about else []),
        *map(verdict, report.verdict),
        *([grid(glance)] if report.glance else []),
        *map(section, report.sections),
    ]
    return "\n\n".join(parts) + "\n"


def verdict(each: Block) -> str:
    """Return a block of the verdict, its own sentence in bold."""
    return f"**{plain(each.words)}**" if isinstance(each, Text) and not each.kind else block(each)


def section(told: Section) -> str:
    return "\n\n".join(
        [f"## {plain(told.title)}", *(block(each) for each in told.blocks if not pictured(each))]
    )


def pictured(each: Block) -> bool:
    """Of shades, which there are none of here."""
    return isinstance(each, Text) and each.kind == "shades"


def plain(text: str) -> str:
    """Text that means nothing to Markdown or HTML, on one line."""
    return SPECIAL.sub(r"\\\1", " ".join(text.split()))


def words(text: str) -> str:
    """The same, with what stands in backticks as code."""
    parts = text.split("`")
    if len(parts) % 2 == 0:
        return plain(text)
    return "".join(f"`{part}`" if place % 2 else spaced(part) for place, part in enumerate(parts))


def spaced(part: str) -> str:
    """Escaped, with the blanks at its ends, which a neighbour is kept off by."""
    ends = [" " if part[place].isspace() else "" for place in (0, -1)] if part.strip() else ["", ""]
    return f"{ends[0]}{plain(part)}{ends[1]}" if part.strip() else part


@singledispatch
def block(each: Block) -> str:
    raise TypeError(f"Markdown cannot show a {type(each).__name__}")


@block.register
def _text(each: Text) -> str:
    return f"*{words(each.words)}*" if each.kind == "note" else words(each.words)


@block.register
def _code(each: Code) -> str:
    fence = "`" * (1 + max(map(len, re.findall("`+", each.words)), default=2))
    return f"{fence}sh\n{each.words}\n{fence}"


@block.register
def _facts(each: Facts) -> str:
    lines = [
        f"| {plain(f.name)} | {plain(f.value)} | {words(f.meaning).replace('|', '/')} |" for f in each.facts
    ]
    return "\n".join(["| | value | |", "| --- | ---: | --- |", *lines])


@block.register
def grid(each: Table) -> str:
    lines = [line(each.heads), "| --- |" + " ---: |" * (len(each.heads) - 1)]
    lines += [line(cells, place == each.marked) for place, cells in enumerate(each.rows)]
    title = [f"**{plain(each.title)}**", ""] if each.title else []
    return "\n".join([*title, *lines])


def line(cells: Sequence[str | Cell], bold: bool = False) -> str:
    shown = [plain(cell.words if isinstance(cell, Cell) else cell) for cell in cells]
    if bold:
        shown = [f"**{cell}**" if cell else "" for cell in shown]
    return f"| {' | '.join(shown)} |"


@block.register
def _chart(each: Chart) -> str:
    return grid(each.data) if each.unfolded else f"{plain(each.told)}.\n\n{grid(each.data)}"


@block.register
def _examples(each: Examples) -> str:
    items = []
    for example in each.examples:
        texts = "; ".join(
            plain(text) if len(example.columns) == 1 else f"**{plain(name)}** {plain(text)}"
            for name, text in example.columns
        )
        told = "; ".join(f"{plain(who)} **{plain(what)}**" for who, what in example.told)
        items.append(f"1. {texts}<br>{told}")
    unfolded = " open" if each.unfolded else ""
    shown = "\n".join(items)
    return f"<details{unfolded}><summary>{escape(each.title)}</summary>\n\n{shown}\n\n</details>"
