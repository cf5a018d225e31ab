"""Results -> Markdown."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from bench.measurements import MEASUREMENTS

COSTS = {
    "train_seconds": "{:.1f}",
    "process_seconds": "{:.1f}",
    "process_cpu_seconds": "{:.1f}",
    "peak_memory_mb": "{:.0f}",
    "trainable_parameters": "{:,}",
}
INTRODUCTION = (
    "Each part has the command that measures it again. Both arms have the same rows, settings and seed; their order, "
    "dropout masks and all else are as each comes. Training seconds are those of the fit; seconds, CPU seconds and peak "
    "resident memory of the process include its start, its test and what it saves. No rows are encoded beforehand."
)
Results = dict[str, Any]


def page(results: Results) -> str:
    parts = [["# Measured", INTRODUCTION]]
    for name, found in results.items():
        parts.append(pairs_part(name, found) if name in MEASUREMENTS else curves_part(found))
    return "\n\n".join(paragraph for part in parts for paragraph in part) + "\n"


def pairs_part(name: str, found: Results) -> list[str]:
    measurement, strategies = MEASUREMENTS[name], found["strategies"]
    return [
        f"## {measurement.title}",
        measured_by(found),
        settings_line(found),
        runs_table(strategies, measurement.scores),
        "\n".join(f"* {strategy}: {summary_line(each['summary'])}" for strategy, each in strategies.items()),
        "The commands for the first seed (run_dir and the output file are wherever you like):",
        *(f"    {each[arm][0]['command']}" for each in strategies.values() for arm in ("tlplug", "trainer")),
    ]


def measured_by(found: Results) -> str:
    return f"`{found['command']}`, with {listed(found['machine'])}. {found.get('note', '')}".rstrip()


def settings_line(found: Results) -> str:
    own = (f"; {name}: {listed(each['own'])}" for name, each in found["strategies"].items() if each["own"])
    return f"Both arms: {listed(found['settings'])}{''.join(own)}."


def listed(values: Results) -> str:
    return ", ".join(f"{name} {'all' if value is None else value}" for name, value in values.items())


def runs_table(strategies: Results, scores: Iterable[str]) -> str:
    columns = {"seed": "{}", **dict.fromkeys(scores, "{:.4f}"), **COSTS}
    rows = [
        [strategy, arm, *(form.format(run[name]) for name, form in columns.items())]
        for strategy, each in strategies.items()
        for pair in zip(each["tlplug"], each["trainer"], strict=True)
        for arm, run in zip(("tlplug", "trainer"), pair, strict=True)
    ]
    return table(["strategy", "arm", *(name.replace("_", " ") for name in columns)], rows)


def summary_line(summary: Results) -> str:
    scores = "; ".join(
        f"{name} tlplug {means['tlplug']:.4f}, Trainer {means['trainer']:.4f}, difference "
        f"{means['difference_in_points']:+.2f} points"
        for name, means in summary["scores"].items()
    )
    ratios = ", ".join(f"{name.replace('_', ' ')} {value:.2f}" for name, value in summary["ratios"].items())
    return f"mean {scores}. The Trainer's figure over tlplug's, median of the pairs: {ratios}."


def curves_part(found: Results) -> list[str]:
    head = ["strategy", "steps", "first loss", "last loss", "largest difference of a step", "tolerance"]
    return [
        "## Loss curves, dropout off, the same order and the same first weights",
        measured_by(found),
        table(head, [curve_cells(*curve) for curve in found["strategies"].items()]),
    ]


def curve_cells(name: str, curve: Results) -> list[str]:
    return [
        name,
        str(curve["steps"]),
        f"{curve['tlplug'][0]:.4f}",
        f"{curve['tlplug'][-1]:.4f}",
        f"{curve['largest_difference']:.1e}",
        f"{curve['tolerance']:.0e}",
    ]


def table(head: list[str], rows: list[list[str]]) -> str:
    return "\n".join(f"| {' | '.join(cells)} |" for cells in [head, ["---"] * len(head), *rows])
