"""Print a ranking in the terminal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.text import Text

from tlplug.reports.formatting import figure
from tlplug.reports.terminal import empty_table

SIDE_BY_SIDE = 6
"""The number of metric columns that fit beside a name in 80 characters."""
DASH = "-"


def show_ranking(console: Console, result: Mapping[str, Any]) -> None:
    """Print the order, the metric values, the failures, the summary, and the command that adapts the first model."""
    sound = [model for model in result["models"] if not model["error"]]
    if sound:
        show_order(console, result, sound)
        names = [name for name in result["metrics"] if any(value_of(model, name) for model in sound)]
        for start in range(0, len(names), SIDE_BY_SIDE):
            show_values(console, result, sound, names[start : start + SIDE_BY_SIDE])
    show_failures(console, result)
    console.print(Text(result["summary"], style="bold green" if sound else "bold red"))
    if result["command"]:
        console.print("Adapt it:", highlight=False)
        console.print(f"  {result['command']}", highlight=False, markup=False, soft_wrap=True)


def show_order(console: Console, result: Mapping[str, Any], sound: list[Mapping[str, Any]]) -> None:
    title = f"{result['task']}: {len(sound)} base models on {result['rows']:,} training rows"
    table = empty_table(title, "", order_columns(result))
    for model in sound:
        style = "bold" if model["name"] == result["top_model"] else ""
        table.add_row(Text(model["title"]), *order_row(model, result), style=style)
    console.print(table)


def order_columns(result: Mapping[str, Any]) -> list[str]:
    columns = ["rank", "mean rank", "by size", "parameters", "best layer"]
    return [*columns, result["primary_score"]] if result["verification"] else columns


def order_row(model: Mapping[str, Any], result: Mapping[str, Any]) -> list[str]:
    """Return the cells of a model: ranks, size, best layer, and its score if models were fine-tuned."""
    cells = [
        rank_told(model["rank"]),
        DASH if model["mean_rank"] is None else f"{model['mean_rank']:.1f}",
        rank_told(model["size_rank"]),
        parameters_told(model["parameters"]),
        layer_told(model),
    ]
    if result["verification"]:
        scores = {each["name"]: each for each in result["verification"]["models"]}
        cells.append(score_told(scores.get(model["name"]), result["display_scale"]))
    return cells


def show_values(
    console: Console, result: Mapping[str, Any], sound: list[Mapping[str, Any]], names: list[str]
) -> None:
    table = empty_table("Metrics, of the last layer", "", names)
    for model in sound:
        table.add_row(Text(model["title"]), *(value_of(model, name) or DASH for name in names))
    console.print(table)


def show_failures(console: Console, result: Mapping[str, Any]) -> None:
    failed = [*result["models"], *(result["verification"] or {"models": []})["models"]]
    titles = {model["name"]: model["title"] for model in result["models"]}
    for each in failed:
        if each["error"]:
            told = f"{titles[each['name']]} failed: {each['error']}"
            console.print(told, highlight=False, markup=False)


def value_of(model: Mapping[str, Any], metric: str) -> str | None:
    """Return the last layer's value with three decimals; None if it is not measured."""
    found = model["metrics"][metric].get("before")
    return f"{found:,.3f}" if isinstance(found, float) else None


def rank_told(rank: float | None) -> str:
    """Return a rank as text: `3`, or `3.5` for two models that share ranks 3 and 4."""
    return DASH if rank is None else f"{rank:g}"


def parameters_told(count: int) -> str:
    """Return a number of parameters as text: `22.6M`, `1.3B`."""
    for unit, size in (("B", 10**9), ("M", 10**6), ("K", 10**3)):
        if count >= size:
            return f"{count / size:.1f}{unit}"
    return str(count)


def layer_told(model: Mapping[str, Any]) -> str:
    best = model["best_layer"]
    return DASH if best is None else f"{best['layer']} of {model['layers']}"


def score_told(found: Mapping[str, Any] | None, scale: int) -> str:
    if found is None:
        return ""
    return "failed" if found["error"] else figure(found["score"], scale)
