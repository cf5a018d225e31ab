"""Print a comparison in the terminal: a row for each strategy, then the summary."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from tlplug.commands.report.summary import p_value
from tlplug.reports.formatting import figure, percent_of, signed

WRITTEN = {"comparison.json": "Figures", "report.html": "Report", "report.md": "Markdown"}
MARK = "* "
"""The mark of a cost by which a strategy is Pareto-optimal."""


def show_gathered(console: Console, gathered: Mapping[str, Any]) -> None:
    for task in gathered["tasks"]:
        console.print(table(task))
        for key, values in task["differing_settings"].items():
            console.print(Text(f"{key} is not the same for all: {', '.join(values)}", style="yellow"))
        console.print(Text(task["summary"], style="bold"))
    for each in gathered["excluded"]:
        console.print(Text(f"Left out  {each['folder']}: {each['reason']}"), soft_wrap=True)


def table(task: Mapping[str, Any]) -> Table:
    """Return the table of strategies: scores with half of their 95% interval, and differences to the best."""
    seeds = f"{len(task['seeds'])} seed{'s' if len(task['seeds']) > 1 else ''}"
    found = Table(
        title=f"\n{task['task']}: {task['test_rows']} test rows, {seeds}; ± is half of a 95% interval, p is Holm's, "
        "* is Pareto-optimal",
        title_justify="left",
        title_style="bold",
        box=SIMPLE_HEAD,
        pad_edge=False,
    )
    found.add_column("", overflow="fold")
    for name in ("seeds", task["primary_score"], "to best", "p", "trainable", "seconds"):
        found.add_column(name, justify="right", no_wrap=True)
    for each in task["strategies"]:
        style = "bold" if each["name"] in (task["best"], task["lightest"]) else ""
        found.add_row(each["name"], *cells(each, task), style=style)
    return found


def cells(found: Mapping[str, Any], task: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the cells of a strategy: seeds, score, difference to the best, its p-value, and the two costs."""
    return (
        str(len(found["seeds"])),
        plus_minus(found["score"], task["display_scale"]),
        *below(found, task),
        *costs(found),
    )


def plus_minus(found: Mapping[str, float], scale: int) -> str:
    return f"{figure(found['mean'], scale)} ±{half(found, scale)}"


def half(found: Mapping[str, float], scale: int) -> str:
    """Return half of an interval: its longer side, as that of a share may be cut off at 0 or 1."""
    return figure(max(found["high"] - found["mean"], found["mean"] - found["low"]), scale)


def below(found: Mapping[str, Any], task: Mapping[str, Any]) -> tuple[str, str]:
    pair = next(
        (p for p in task["pairs"] if (p["first"], p["second"]) == (task["best"], found["name"])), None
    )
    if pair is None:
        return "best", ""
    gain, scale = pair["gain"], task["display_scale"]
    return f"{signed(-gain['mean'], scale)} ±{half(gain, scale)}", p_value(pair["p_value_holm"])


def costs(found: Mapping[str, Any]) -> tuple[str, str]:
    share = seconds = "not known"
    if found["trainable_share"] is not None:
        share = moved(found)
    if found["seconds"] is not None:
        seconds = f"{found['seconds']:,.1f}"
    return marked(share, found["pareto"]["trainable_share"]), marked(seconds, found["pareto"]["seconds"])


def moved(found: Mapping[str, Any]) -> str:
    trained = found["trainable_parameters"]
    return percent_of(trained, found["total_parameters"]) if trained else "0%"


def marked(words: str, optimal: bool | None) -> str:
    return MARK + words if optimal else words


def show_paths(console: Console, folder: Path) -> None:
    """Print the path of each file that was written to the folder."""
    for name in sorted(path.name for path in folder.iterdir() if path.name in WRITTEN):
        console.print(f"{WRITTEN[name]:<10}{folder / name}", highlight=False, markup=False, soft_wrap=True)
