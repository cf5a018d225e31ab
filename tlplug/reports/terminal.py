"""The table that ends a run in the terminal: a row a baseline and one for the run, then the verdict."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from tlplug.reports.formatting import figure, interval, percent_of, signed

LAYER = re.compile(r"layer/\d+")
COLOURS = {"positive": "green", "negative": "red"}


def empty_table(title: str, first: str, columns: Sequence[str]) -> Table:
    table = Table(
        title=f"\n{title}", title_justify="left", title_style="bold", box=SIMPLE_HEAD, pad_edge=False
    )
    table.add_column(first, overflow="fold")
    for name in columns:
        table.add_column(name, justify="right", no_wrap=True)
    return table


def show_result(console: Console, result: dict[str, Any]) -> None:
    """Print the primary score, the gains over the baselines with 95% intervals, the verdict and the advice."""
    title = f"\n{result['task']}: {result['test_rows']} test rows"
    table = Table(title=title, title_justify="left", title_style="bold", box=SIMPLE_HEAD, pad_edge=False)
    table.add_column("", no_wrap=True)
    for name in (result["primary_score"], "gain", "95% interval", "trainable", "MB", "seconds"):
        table.add_column(name, justify="right", no_wrap=True)
    scale = result["display_scale"]
    for name, scores in result["baselines"].items():
        gap = compared(result["comparisons"][name], scale, 1 if result["higher_is_better"] else -1)
        shown = figure(scores[result["primary_score"]], scale)
        table.add_row(name, shown, *gap, *spent(result["baseline_cost"][name]))
    table.add_section()
    own = figure(result["scores"][result["primary_score"]], scale)
    table.add_row(result["strategy"], own, "", "", *spent(result["cost"]), style="bold")
    console.print(table)
    others = [
        f"{name} {value:.3f}" for name, value in result["scores"].items() if name != result["primary_score"]
    ]
    if others:
        console.print(f"also: {', '.join(others)}", highlight=False)
    for reason, names in lacking(result["metrics"]).items():
        console.print(f"not measured: {', '.join(names)} ({reason})", style="dim", highlight=False)
    verdict = result["verdict"]
    console.print(Text(verdict["text"], style=f"bold {COLOURS.get(verdict['label'], '')}".strip()))
    for each in result["advice"]:
        console.print(Text(each["text"]))
        if each["command"]:
            console.print(Text(f"  {each['command']}", style="cyan"), soft_wrap=True)


def lacking(metrics: Mapping[str, Mapping[str, Any]]) -> dict[str, list[str]]:
    """Return the reasons why metrics were not measured, each with the metrics' names."""
    found: dict[str, list[str]] = {}
    for metric, values in metrics.items():
        if "not_measured" in values:
            found.setdefault(values["not_measured"], []).append(metric)
    return found


def compared(comparison: dict[str, float], scale: int, sign: int) -> tuple[str, str]:
    """Format the gain, positive for an improvement in either direction of the score, and its interval."""
    low, high = sorted((sign * comparison["low"], sign * comparison["high"]))
    return signed(sign * comparison["difference"], scale), interval(low, high, scale)


def spent(cost: dict[str, float] | None) -> tuple[str, str, str]:
    if cost is None:
        return "", "", ""
    if not cost["trainable_parameters"]:
        return "0%", "", ""
    share = percent_of(cost["trainable_parameters"], cost["total_parameters"])
    return share, f"{cost['peak_memory_mb']:,.0f}", f"{cost['seconds']:.1f}"


def show_metrics(console: Console, metrics: Mapping[str, Mapping[str, Any]], folder: Path) -> None:
    """Print each metric's values, those by layer in one row."""
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for name in ("metric", "value", ""):
        table.add_column(name, overflow="fold")
    for metric, values in metrics.items():
        for number, (name, told) in enumerate(lines_of(values)):
            table.add_row(metric if not number else "", name, told)
        table.add_section()
    console.print(table)
    console.print(f"Evidence, result.json and the report in  {folder}/", highlight=False, markup=False)


def lines_of(values: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return one line for each value; values by layer are joined, from the embeddings up."""
    if "not_measured" in values:
        return [("", f"not measured: {values['not_measured']}")]
    found: dict[str, list[str]] = {}
    for name, value in values.items():
        single = not isinstance(value, Mapping)
        told = f"{value:.4g}" if single else f"not measured: {value['not_measured']}"
        found.setdefault(LAYER.sub("layers", name), []).append(told)
    return [
        (name, " ".join(dict.fromkeys(told) if "not" in told[0] else told)) for name, told in found.items()
    ]


def show_scores(console: Console, figures: dict[str, Any], folder: Path) -> None:
    """Print the scores of an evaluation, the primary one first with its interval."""
    scale, primary = figures["display_scale"], figures["primary_score"]
    low, high = (figure(figures[name], scale) for name in ("low", "high"))
    console.print(f"{figures['data']}: {figures['rows']:,} rows", style="bold", highlight=False)
    first = f"{primary} {figure(figures['scores'][primary], scale)} (95% interval {low} to {high})"
    others = [f"{name} {value:.3f}" for name, value in figures["scores"].items() if name != primary]
    console.print(", ".join([first, *others]), highlight=False)
    console.print(f"Scores and predictions  {folder}/", highlight=False, markup=False)


def show_export(console: Console, out: Path, drift: dict[str, Any]) -> None:
    """Print where the export is, and how merging changed the predictions."""
    console.print(f"Exported  {out}/", highlight=False, markup=False)
    if drift:
        console.print(
            f"Merged into {drift['dtype']}: {100 * drift['same']:.1f}% of {drift['rows']} predictions are the same, "
            f"primary score {drift['before']:.4f} before and {drift['after']:.4f} after",
            highlight=False,
        )
