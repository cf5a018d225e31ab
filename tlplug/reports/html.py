"""report.html: one file that needs nothing else, no script among it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import singledispatch
from html import escape
from typing import Any

from tlplug.reports import run_report as story
from tlplug.reports.blocks import (
    Block,
    Cell,
    Chart,
    Code,
    Example,
    Examples,
    Fact,
    Facts,
    Section,
    Table,
    Text,
)
from tlplug.reports.charts import style
from tlplug.reports.run_data import Material

KINDS = {"positive": "good", "negative": "bad"}


def page(result: Mapping[str, Any], evidence: Mapping[str, Any], rows: Sequence[Mapping[str, Any]]) -> str:
    """The whole document.

    Args:
        result: what is in result.json.
        evidence: what was recorded; any of it may be missing, and the page says so.
        rows: the lines of predictions.jsonl, in the order of the evidence.
    """
    run = Material(result, evidence, rows)
    return document(story.title(run), "\n".join([header(run), *map(section, story.sections(run))]))


def document(title: str, body: str) -> str:
    """A page that needs nothing else."""
    name = escape(title)
    return (
        f'<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        # Else a browser asks the place it was opened from for an icon.
        f'<link rel="icon" href="data:,">\n<title>{name}</title>\n<style>\n{style()}</style>\n</head>\n<body>\n<main>\n'
        f"<h1>{name}</h1>\n{body}\n</main>\n</body>\n</html>\n"
    )


def header(run: Material) -> str:
    """The verdict in one sentence, and the figures to know first."""
    verdict = run.result["verdict"]
    advice = "".join(f'<p class="advice">{words(line)}</p>' for line in story.advice(run))
    return (
        f'<p class="about">{escape(story.about(run))}</p>\n'
        f'<section class="verdict {KINDS.get(verdict["label"], "open")}" aria-label="Verdict">'
        f"<p>{words(verdict['text'])}</p>{advice}</section>\n{tiles(story.glance(run))}"
    )


def tiles(facts: Sequence[Fact]) -> str:
    """Figures side by side."""
    shown = "".join(
        f"<div><dt>{escape(fact.name)}</dt><dd><strong>{escape(fact.value)}</strong> "
        f"<span>{escape(fact.meaning)}</span></dd></div>"
        for fact in facts
    )
    return f'<dl class="glance">{shown}</dl>'


def section(told: Section) -> str:
    blocks = "\n".join(block(each) for each in told.blocks)
    return f'<section id="{told.name}">\n<h2>{escape(told.title)}</h2>\n{blocks}\n</section>'


def words(text: str) -> str:
    """Escaped, with what stands in backticks as code."""
    return re.sub(r"`([^`]+)`", r"<code>\1</code>", escape(text))


@singledispatch
def block(each: Block) -> str:
    raise TypeError(f"a page cannot show a {type(each).__name__}")


@block.register
def _text(each: Text) -> str:
    return f'<p class="{each.kind}">{words(each.words)}</p>' if each.kind else f"<p>{words(each.words)}</p>"


@block.register
def _code(each: Code) -> str:
    return f'<pre tabindex="0">{escape(each.words)}</pre>'


@block.register
def _facts(each: Facts) -> str:
    return f'<table class="facts"><tbody>{"".join(map(fact, each.facts))}</tbody></table>'


def fact(each: Fact) -> str:
    told = f" <small>{words(each.meaning)}</small>" if each.meaning else ""
    kind = ' class="lack"' if each.lack else ""
    return f'<tr{kind}><th scope="row">{escape(each.name)}{told}</th><td>{escape(each.value)}</td></tr>'


@block.register
def _table(each: Table) -> str:
    """In a box of its own, which scrolls where the table is wider than the page."""
    heads = "".join(f'<th scope="col">{escape(head)}</th>' for head in each.heads)
    rows = "".join(row(cells, place == each.marked) for place, cells in enumerate(each.rows))
    return (
        f'<div class="wide" role="region" aria-label="{escape(each.title)}" tabindex="0"><table>'
        f"<caption>{escape(each.title)}</caption><thead><tr>{heads}</tr></thead><tbody>{rows}</tbody></table></div>"
    )


def row(cells: Sequence[str | Cell], marked: bool) -> str:
    first, *others = cells
    kind = ' class="own"' if marked else ""
    name = first.words if isinstance(first, Cell) else first
    return f'<tr{kind}><th scope="row">{escape(name)}</th>{"".join(map(cell, others))}</tr>'


def cell(each: str | Cell) -> str:
    if isinstance(each, str):
        return f"<td>{escape(each)}</td>"
    return f'<td class="heat" style="--shade:{100 * each.shade:.0f}%">{escape(each.words)}</td>'


@block.register
def _chart(each: Chart) -> str:
    if each.unfolded:
        return f"<figure>{each.draw()}</figure>\n{_table(each.data)}"
    return (
        f"<figure>{each.draw()}<figcaption>{escape(each.told)}.</figcaption></figure>\n"
        f"<details><summary>The same as a table</summary>{_table(each.data)}</details>"
    )


@block.register
def _examples(each: Examples) -> str:
    shown = "".join(f"<li>{example(one)}</li>" for one in each.examples)
    unfolded = " open" if each.unfolded else ""
    return f'<details class="examples"{unfolded}><summary>{escape(each.title)}</summary><ol>{shown}</ol></details>'


def example(each: Example) -> str:
    one = len(each.columns) == 1
    texts = "".join(
        f"<p>{'' if one else f'<b>{escape(name)}</b> '}{escape(text)}</p>" for name, text in each.columns
    )
    told = "".join(f"<span><b>{escape(who)}</b> {escape(what)}</span>" for who, what in each.told)
    return f'{texts}<p class="told">{told}</p>'
