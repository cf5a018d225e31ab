"""report.html of a comparison: one file that needs nothing else, no script among it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from html import escape
from typing import Any

from tlplug.commands.compare.chart import chart
from tlplug.commands.compare.table import columns, row, scored, skipped_note
from tlplug.reports.formatting import duration

STYLE = """\
:root { color-scheme: light dark; --paper: #fcfcfb; --ink: #1d2126; --soft: #5d6670; --line: #e2e4e6;
  --mark: #8b95a1; --taken: #0b6e4f; --panel: #f1f5f3; --bad: #a4262c; }
@media (prefers-color-scheme: dark) { :root { --paper: #15181b; --ink: #e8eaec; --soft: #9aa4ae; --line: #2c3238;
  --mark: #7b8794; --taken: #4cc38a; --panel: #1b2420; --bad: #ff8080; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--paper); color: var(--ink);
  font: 16px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, sans-serif; }
main { max-width: 1000px; margin: 0 auto; padding: 48px 24px 72px; }
h1 { font-size: 1.75rem; line-height: 1.2; margin: 0 0 4px; letter-spacing: -0.01em; }
h2 { font-size: 1.05rem; margin: 44px 0 12px; }
p { max-width: 72ch; margin: 0 0 12px; }
.about, .note { color: var(--soft); }
.note { font-size: 0.9rem; }
.verdict { background: var(--panel); border-left: 4px solid var(--taken); border-radius: 4px; padding: 16px 20px;
  margin: 28px 0; }
.verdict.bad { border-color: var(--bad); }
.verdict p { margin: 0; font-size: 1.08rem; }
pre { margin: 12px 0 0; padding: 10px 12px; background: var(--paper); border: 1px solid var(--line);
  border-radius: 4px; overflow-x: auto; font: 0.86rem/1.5 ui-monospace, SFMono-Regular, Menlo, Consolas, monospace; }
.wide { overflow-x: auto; }
svg { display: block; width: 100%; min-width: 640px; height: auto; }
svg text { fill: var(--ink); } svg .head { fill: var(--soft); } svg .tick { fill: var(--soft); font-size: 12px; }
svg .name { font-size: 14px; } svg .name.taken { font-weight: 650; fill: var(--taken); }
svg .grid { stroke: var(--line); } svg .zero { stroke: var(--soft); stroke-dasharray: 3 3; }
svg .mark line { stroke: var(--mark); stroke-width: 3; stroke-linecap: round; } svg .mark circle { fill: var(--mark); }
svg .mark.taken line { stroke: var(--taken); } svg .mark.taken circle { fill: var(--taken); }
svg .mark .seed { opacity: 0.55; }
table { border-collapse: collapse; width: 100%; font-size: 0.92rem; font-variant-numeric: tabular-nums; }
th, td { text-align: right; padding: 7px 10px; border-bottom: 1px solid var(--line); white-space: nowrap; }
th { color: var(--soft); font-weight: 500; } th:first-child, td:first-child { text-align: left; padding-left: 0; }
tr.taken td { font-weight: 650; color: var(--taken); } tr.absent td { color: var(--soft); }
td.error { white-space: normal; text-align: left; color: var(--bad); font-weight: 400; }
"""

DECIDED = """\
<p>Every strategy was trained with the same seeds, on the same rows in the same order, and tested on the same examples.
A gain is over the row above it, and is positive where it is an improvement. ± is half of a 95% interval, about other
seeds and other examples of the same kind; differences are of pairs, so two intervals of scores may overlap where the
difference between them is above noise: go by the right panel and by the column gain.</p>
<p>The strategy named is the first one, from the least invasive on, that the best is not better than beyond noise. That is
no proof that the two are equal: with more test rows or seeds a smaller difference could be told.</p>
"""
TARGET = """\
<p>Every strategy was trained with the same seeds, on the same rows in the same order, and tested on the same examples.
The strategy named is the first one, from the least invasive on, whose mean score reaches the target, or where none
does, the first one that the best is not better than beyond noise. ± is half of a 95% interval, about other seeds and
other examples.</p>
"""


def page(result: Mapping[str, Any]) -> str:
    """The whole document, from what is in compare.json."""
    title = escape(f"{result['task']}: strategies compared")
    body = "\n".join([*header(result), *picture(result), *table(result), *ending(result)])
    return (
        f'<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">\n<title>{title}</title>\n'
        f"<style>\n{STYLE}</style>\n</head>\n<body>\n<main>\n<h1>{title}</h1>\n{body}\n</main>\n</body>\n</html>\n"
    )


def header(result: Mapping[str, Any]) -> Iterator[str]:
    """What was compared on what, and what to take."""
    seeds = ", ".join(map(str, result["seeds"]))
    yield (
        f'<p class="about">{escape(result["base_model"])}, head {escape(result["head"])}; {result["test_rows"]:,} test '
        f"rows; seeds {seeds}</p>"
    )
    command = f"<pre>{escape(result['command'])}</pre>" if result["command"] else ""
    kind = "verdict" if result["lightest"] else "verdict bad"
    yield f'<section class="{kind}"><p>{escape(result["summary"])}</p>{command}</section>'


def picture(result: Mapping[str, Any]) -> Iterator[str]:
    if result["lightest"]:
        yield f'<div class="wide">{chart(result)}</div>'


def table(result: Mapping[str, Any]) -> Iterator[str]:
    """All rows, those that failed or were not run among them."""
    heads = ["", *columns(result)]
    yield '<h2>Figures</h2>\n<div class="wide"><table>'
    yield "<tr>" + "".join(f"<th>{escape(head)}</th>" for head in heads) + "</tr>"
    yield line(["trivial", scored(result["trivial"], result["display_scale"])], len(heads))
    for found in result["strategies"]:
        if found["error"]:
            told = f"failed: {escape(found['error'])}"
            yield f'<tr><td>{escape(found["name"])}</td><td class="error" colspan="{len(heads) - 1}">{told}</td></tr>'
            continue
        kind = "taken" if found["name"] == result["lightest"] else ""
        yield line([found["name"], *row(found, result)], len(heads), kind)
    for name in result["skipped"]:
        yield line([name, "not run"], len(heads), "absent")
    yield "</table></div>"


def line(cells: list[str], width: int, kind: str = "") -> str:
    filled = [*cells, *[""] * (width - len(cells))]
    return f'<tr class="{kind}">' + "".join(f"<td>{escape(cell)}</td>" for cell in filled) + "</tr>"


def ending(result: Mapping[str, Any]) -> Iterator[str]:
    """How it was decided, and with what."""
    if result["skipped"]:
        yield f'<p class="note" style="margin-top:12px">{escape(skipped_note(result))}</p>'
    yield "<h2>How this was decided</h2>"
    yield TARGET if result["target_score"] is not None else DECIDED
    spent = sum(
        (run["cost"] or {}).get("seconds", 0.0) for s in result["strategies"] for run in s.get("runs", ())
    )
    versions = ", ".join(f"{name} {number}" for name, number in result["versions"].items())
    yield '<p class="note">trainable: the share of the weights that are trained. MB: the most memory in any training. '
    yield f"time: the mean of one training; {duration(spent)} for those in this table. {escape(versions)}.</p>"
