"""Draw the charts of a comparison."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tlplug.reports.charts import LINE, MARK, SOFT, TAKEN, Mark, draw_marks, drawn, marks_height

NEAR, ASIDE, LETTER = 17, 9, 7.5
"""Distance between two names above each other, from a point to its name, and the width of a letter, in points."""


def scores(told: str, task: Mapping[str, Any], unit: str) -> str:
    """Draw each strategy's mean and interval, and a small mark for each seed."""
    scale = task["display_scale"]
    marks = [
        Mark(
            name=wrapped(each["name"]),
            value=scale * each["score"]["mean"],
            low=scale * each["score"]["low"],
            high=scale * each["score"]["high"],
            colour=TAKEN if each["name"] == task["lightest"] else MARK,
            seeds=[scale * run["score"] for run in each["runs"]],
        )
        for each in task["strategies"]
    ]
    with drawn(f"scores-{plain(task)}", told, marks_height(marks)) as (axes, written):
        draw_marks(axes, marks, unit)
    return str(written[0])


def plain(task: Mapping[str, Any]) -> str:
    """Return the name of the task with all characters that an id cannot contain replaced by `-`."""
    return re.sub(r"[^A-Za-z0-9_-]", "-", task["task"])


def wrapped(name: str) -> str:
    """Return the name with its first space replaced by a line break."""
    return name.replace(" ", "\n", 1)


def against(told: str, task: Mapping[str, Any], cost: str, words: str, unit: str) -> str:
    """Draw scores against a cost, with the Pareto-optimal points filled and joined by a line."""
    sign = 1 if task["higher_is_better"] else -1
    found = sorted(
        (each for each in task["strategies"] if each[cost] is not None), key=lambda each: each[cost]
    )
    size = 100 if cost == "trainable_share" else 1
    points = [(size * each[cost], task["display_scale"] * each["score"]["mean"]) for each in found]
    best = [point for point, each in zip(points, found, strict=True) if each["pareto"][cost]]
    with drawn(f"{cost}-{plain(task)}", told, 300) as (axes, written):
        axes.plot(*zip(*best, strict=True), color=TAKEN, linewidth=1.8, linestyle="--", zorder=1)
        for point, each in zip(points, found, strict=True):
            colour, fill = (TAKEN, TAKEN) if each["pareto"][cost] else (MARK, "none")
            axes.plot(*point, "o", color=colour, markersize=10, markerfacecolor=fill, markeredgewidth=2.2)
        spread(axes, points, sign)
        axes.grid(color=LINE)
        axes.set_axisbelow(True)
        axes.tick_params(axis="y", length=0)
        axes.locator_params(axis="y", nbins=5)
        axes.yaxis.set_major_formatter(lambda value, _: f"{value:,g}")
        axes.set_xlabel(words)
        axes.set_title(unit, loc="left", fontsize=14, color=SOFT)
        named(axes, points, [each["name"] for each in found])
    return str(written[0])


def spread(axes: Any, points: Sequence[tuple[float, float]], sign: int) -> None:
    """Set the scales: costs on a log scale if they differ by more than ten times or one is 0; better scores above."""
    costs = [cost for cost, _ in points if cost > 0]
    if (costs and max(costs) > 10 * min(costs)) or len(costs) < len(points):
        least = min(costs, default=1.0)
        axes.set_xscale("symlog", linthresh=least, linscale=0.5)
        axes.set_xlim(-0.3 * least if len(costs) < len(points) else 0.6 * least, max(costs, default=1.0) * 3)
    else:
        axes.set_xlim(0, max(costs, default=1.0) * 1.15)
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:,.6g}")
    axes.margins(y=0.2)
    if sign < 0:
        axes.invert_yaxis()


def named(axes: Any, points: Sequence[tuple[float, float]], names: Sequence[str]) -> None:
    """Write the name of each point beside it, off the rising line and without overlaps."""
    axes.figure.draw_without_rendering()
    unit = axes.figure.dpi / 72
    places = [axes.transData.transform(point) / unit for point in points]
    middle = axes.transAxes.transform((0.5, 0.5))[0] / unit
    taken: list[tuple[float, float, float]] = []
    for index in sorted(range(len(points)), key=lambda index: float(places[index][1])):
        x, y = places[index]
        side, align = (-ASIDE, "right") if x > middle else (ASIDE, "left")
        start, end = sorted((x + side, x + side + np.sign(side) * LETTER * len(names[index])))
        height = y - side
        while any(
            start < right and left < end and abs(height - other) < NEAR for left, right, other in taken
        ):
            height += 1
        taken.append((start, end, height))
        offset = (side, height - y)
        axes.annotate(
            names[index],
            points[index],
            offset,
            textcoords="offset points",
            ha=align,
            va="center",
            fontsize=13,
        )
