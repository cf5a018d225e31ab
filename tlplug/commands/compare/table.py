"""Print the estimates and the results of a comparison in the terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.text import Text

from tlplug.commands.compare.estimate import Estimate
from tlplug.reports.formatting import duration, figure, listed, percent_of, signed
from tlplug.reports.terminal import empty_table


def show_estimates(console: Console, expected: Sequence[Estimate], seeds: int) -> None:
    """Print the expected memory and time of each strategy."""
    table = empty_table(
        "Expected, from one step of each", "", ("trainable", "MB", "a training", "trainings", "in all")
    )
    for found in expected:
        table.add_row(found.name, *estimated(found))
    console.print(table)
    for found in expected:
        if found.error:
            console.print(f"{found.name} fails: {found.error}", highlight=False, markup=False)
    total = sum(found.seconds for found in expected)
    told = (
        f"About {duration(total)} in all where every strategy is run."
        if total
        else "All of it is in the cache."
    )
    console.print(told, highlight=False)


def estimated(found: Estimate) -> tuple[str, ...]:
    if not found.trainings:
        return "", "", "", "0", "from the cache"
    if found.timing is None:
        return "", "", "", str(found.trainings), "fails"
    timing = found.timing
    return (
        percent_of(timing.trainable, timing.total),
        f"{timing.memory_mb:,.0f}",
        duration(found.training),
        str(found.trainings),
        duration(found.seconds),
    )


def show_comparison(console: Console, result: Mapping[str, Any]) -> None:
    """Print a row for each strategy (shares in percent), the recommendation, and the command that trains it."""
    seeds = result["seeds"]
    told = f"{len(seeds)} seed{'s' if len(seeds) > 1 else ''}"
    title = f"{result['task']}: {result['test_rows']} test rows, {told}; ± is half of a 95% interval"
    table = empty_table(title, "", columns(result))
    table.add_row("trivial", scored(result["trivial"], result["display_scale"]))
    for found in result["strategies"]:
        style = "bold" if found["name"] == result["lightest"] else ""
        table.add_row(found["name"], *(["failed"] if found["error"] else row(found, result)), style=style)
    for name in result["skipped"]:
        table.add_row(name, "not run", style="dim")
    console.print(table)
    for found in result["strategies"]:
        if found["error"]:
            console.print(f"{found['name']} failed: {found['error']}", highlight=False, markup=False)
    if result["skipped"]:
        console.print(Text(skipped_note(result)))
    console.print(Text(result["summary"], style="bold green" if result["lightest"] else "bold red"))
    if result["command"]:
        console.print("Train it:", highlight=False)
        console.print(f"  {result['command']}", highlight=False, markup=False, soft_wrap=True)


def columns(result: Mapping[str, Any]) -> list[str]:
    return [result["primary_score"], "gain", "trainable", "MB", "time", *(["rate"] if tuned(result) else [])]


def tuned(result: Mapping[str, Any]) -> bool:
    return any(found.get("learning_rates") for found in result["strategies"])


def scored(found: Mapping[str, Any], scale: int) -> str:
    score = found["score"]
    return f"{figure(score['mean'], scale)} ±{figure(score['mean'] - score['low'], scale)}"


def row(found: Mapping[str, Any], result: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the table cells of a trained strategy."""
    gain, scale = found["gain"], result["display_scale"]
    return (
        scored(found, scale),
        f"{signed(gain['mean'], scale)} ±{figure(gain['mean'] - gain['low'], scale)}",
        percent_of(found["trainable_parameters"], found["total_parameters"]),
        f"{found['peak_memory_mb']:,.0f}",
        duration(found["seconds"]),
        *([f"{found['learning_rate']:g}"] if tuned(result) else []),
    )


def skipped_note(result: Mapping[str, Any]) -> str:
    was = "was" if len(result["skipped"]) == 1 else "were"
    more = " stop_early=false runs all." if result["target_score"] is None else ""
    return f"{listed(result['skipped'])} {was} not run: {result['stop_reason']}.{more}"
