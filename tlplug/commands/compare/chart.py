"""The picture of a comparison as inline SVG: scores, and what each strategy lacks to the best, with their intervals."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

from tlplug.reports.formatting import figure, signed

ROW, TOP, BOTTOM = 44, 46, 34
WIDTH, NAMES, GAP = 920, 168, 56
SCORES = 410
"""Width of the left panel; the rest is the right one's."""
TICKS = 5


@dataclass(frozen=True)
class Axis:
    """Values -> places."""

    low: float
    high: float
    left: float
    width: float

    def at(self, value: float) -> float:
        return round(self.left + self.width * (value - self.low) / (self.high - self.low), 1)

    def ticks(self) -> list[float]:
        """Round numbers inside."""
        step = round_step((self.high - self.low) / TICKS)
        first = math.ceil(self.low / step - 1e-9)
        last = math.floor(self.high / step + 1e-9)
        return [number * step for number in range(first, last + 1)]


def round_step(rough: float) -> float:
    """1, 2 or 5 times a power of ten, at least `rough`."""
    power = 10.0 ** math.floor(math.log10(rough))
    return next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough * (1 - 1e-9))


def axis(values: Sequence[float], left: float, width: float) -> Axis:
    """One that has room for all values."""
    low, high = min(values), max(values)
    margin = 0.06 * (high - low) or abs(high) * 0.05 or 1.0
    return Axis(low - margin, high + margin, left, width)


def chart(result: Mapping[str, Any]) -> str:
    """One row for the trivial baseline and one for each strategy that was trained."""
    scale = result["display_scale"]
    shown = [{"name": "trivial", **result["trivial"]}, *(s for s in result["strategies"] if not s["error"])]
    scores = axis([scale * value for each in shown for value in reach(each, result)], NAMES, SCORES)
    left = NAMES + SCORES + GAP
    gaps = axis([0.0, *(scale * value for each in shown for value in gap(each))], left, WIDTH - left - 12)
    height = TOP + ROW * len(shown) + BOTTOM
    parts = [
        *panel(scores, f"{result['primary_score']}, 95% interval, each seed", len(shown), scale, signs=False),
        *panel(gaps, "how much better the best is", len(shown), scale, signs=True),
        upright(gaps, 0.0, height),
    ]
    if result["target_score"] is not None:
        parts.append(upright(scores, scale * result["target_score"], height))
    for number, each in enumerate(shown):
        parts += row(each, TOP + ROW * (number + 0.5), scores, gaps, result)
    told = escape(
        f"{result['primary_score']} of each strategy with its 95% interval, and the difference to the best"
    )
    return (
        f'<svg viewBox="0 0 {WIDTH} {height}" role="img" aria-label="{told}" font-size="13">'
        + "".join(parts)
        + "</svg>"
    )


def reach(each: Mapping[str, Any], result: Mapping[str, Any]) -> Iterator[float]:
    yield from (each["score"]["low"], each["score"]["high"])
    yield from (run["scores"][result["primary_score"]] for run in each["runs"])
    if result["target_score"] is not None:
        yield result["target_score"]


def gap(each: Mapping[str, Any]) -> Iterator[float]:
    if each.get("gap_to_best"):
        yield from (each["gap_to_best"]["low"], each["gap_to_best"]["high"])


def panel(along: Axis, title: str, rows: int, scale: int, signs: bool) -> Iterator[str]:
    """Title, ticks and lines."""
    bottom = TOP + ROW * rows
    yield f'<text class="head" x="{along.left}" y="20">{escape(title)}</text>'
    step = round_step((along.high - along.low) / TICKS)
    decimals = max(0, -math.floor(math.log10(step) + 1e-9))
    for tick in along.ticks():
        x = along.at(tick)
        plus = "+" if signs and round(tick, 9) > 0 else ""
        told = f"{plus}{tick + 0.0:,.{decimals}f}"
        yield f'<line class="grid" x1="{x}" x2="{x}" y1="{TOP - 6}" y2="{bottom + 4}"/>'
        yield f'<text class="tick" x="{x}" y="{bottom + 22}" text-anchor="middle">{told}</text>'


def row(
    each: Mapping[str, Any], y: float, scores: Axis, gaps: Axis, result: Mapping[str, Any]
) -> Iterator[str]:
    """A strategy's name, its marks in both panels, and their figures for who points at them."""
    scale, score = result["display_scale"], each["score"]
    kind = "mark taken" if each["name"] == result["lightest"] else "mark"
    yield f'<text class="{"name taken" if "taken" in kind else "name"}" x="0" y="{y + 4}">{escape(each["name"])}</text>'
    low, high = (figure(score[end], scale) for end in ("low", "high"))
    told = f"{each['name']}: {figure(score['mean'], scale)} ({low} to {high})"
    yield f'<g class="{kind}"><title>{escape(told)}</title>'
    yield bar(scores, y, [scale * score[end] for end in ("low", "high")])
    if each["name"] != "trivial":
        yield from (
            f'<circle class="seed" cx="{scores.at(scale * run["scores"][result["primary_score"]])}" cy="{y + 11}" r="2.6"/>'
            for run in each["runs"]
        )
    yield f'<circle cx="{scores.at(scale * score["mean"])}" cy="{y}" r="6"/></g>'
    if each["name"] == result["best"]:
        yield f'<text class="tick" x="{gaps.at(0) + 10}" y="{y + 4}">the best</text>'
    if below := each.get("gap_to_best"):
        yield f'<g class="{kind}"><title>{escape(each["name"])}: {signed(below["mean"], scale)}</title>'
        yield bar(gaps, y, [scale * below[end] for end in ("low", "high")])
        yield f'<circle cx="{gaps.at(scale * below["mean"])}" cy="{y}" r="6"/></g>'


def upright(along: Axis, value: float, height: int) -> str:
    """A dashed line from top to bottom: no difference, or the target."""
    x = along.at(value)
    return f'<line class="zero" x1="{x}" x2="{x}" y1="{TOP - 6}" y2="{height - BOTTOM + 4}"/>'


def bar(along: Axis, y: float, ends: Sequence[float]) -> str:
    return f'<line x1="{along.at(ends[0])}" x2="{along.at(ends[1])}" y1="{y}" y2="{y}"/>'
