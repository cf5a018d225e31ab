"""The table that ends a run in the terminal: a row a baseline and one for the run, then the verdict."""

from __future__ import annotations

from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from tlplug.report.figures import interval, percent, percent_of

COLOURS = {"positive": "green", "negative": "red"}


def show_result(console: Console, result: dict[str, Any]) -> None:
    """Scores in percent of the primary score, differences in points with their 95% interval."""
    title = f"\n{result['task']}: {result['test_rows']} test rows"
    table = Table(title=title, title_justify="left", title_style="bold", box=SIMPLE_HEAD, pad_edge=False)
    table.add_column("", no_wrap=True)
    for name in (result["primary"], "gain", "95% interval", "moves", "MB", "seconds"):
        table.add_column(name, justify="right", no_wrap=True)
    for name, scores in result["baselines"].items():
        gap = compared(result["comparisons"][name])
        table.add_row(name, percent(scores[result["primary"]]), *gap, *spent(result["baseline_cost"][name]))
    table.add_section()
    own = (result["strategy"], percent(result["scores"][result["primary"]]), "", "", *spent(result["cost"]))
    table.add_row(*own, style="bold")
    console.print(table)
    others = {name: value for name, value in result["scores"].items() if name != result["primary"]}
    console.print(
        "also: " + ", ".join(f"{name} {value:.3f}" for name, value in others.items()), highlight=False
    )
    for metric, values in result["metrics"].items():
        if "not_measured" in values:
            console.print(f"{metric}: not measured, {values['not_measured']}", highlight=False)
    verdict = result["verdict"]
    console.print(Text(verdict["text"], style=f"bold {COLOURS.get(verdict['label'], '')}".strip()))


def compared(comparison: dict[str, float]) -> tuple[str, str]:
    return f"{100 * comparison['difference']:+.1f}", interval(comparison["low"], comparison["high"])


def spent(cost: dict[str, float] | None) -> tuple[str, str, str]:
    if cost is None:
        return "", "", ""
    share = percent_of(cost["trainable_parameters"], cost["total_parameters"])
    return share, f"{cost['peak_memory_mb']:,.0f}", f"{cost['seconds']:.1f}"
