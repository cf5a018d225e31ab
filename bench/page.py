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
    others = {"curves": curves_part, "forgetting": forgetting_part}
    for name, found in results.items():
        parts.append(pairs_part(name, found) if name in MEASUREMENTS else others[name](found))
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


def forgetting_part(found: Results) -> list[str]:
    head = [
        "seed",
        "strategy",
        "rate",
        "ROUGE-L",
        "source NLL before",
        "after",
        "change (95% interval over texts)",
    ]
    rows = [
        [seed, name, *forgetting_cells(run)]
        for seed, runs in found["runs"].items()
        for name, run in runs.items()
    ]
    first = next(iter(found["runs"].values()))
    return [
        "## What is forgotten: SmolLM2-135M adapted to SciTLDR, and how likely it finds a beekeeper's handbook",
        measured_by(found),
        "NLL is the negative log-likelihood in nats a token, weighted by tokens. 100 training rows, one epoch, batches "
        "of 4; ROUGE-L of 16 test rows, which is too few to rank by.",
        table([*head, "perplexity ratio", "CKA, mean", "weights moved"], rows),
        "The commands for the first seed:",
        *(f"    {run['command']}" for run in first.values()),
    ]


def forgetting_cells(run: Results) -> list[str]:
    low, high = run["change/low"], run["change/high"]
    return [
        f"{run['learning_rate']:g}",
        f"{100 * run['rougeL']:.1f}",
        *(f"{run[stage]:.3f}" for stage in ("before", "after")),
        f"{run['change']:+.3f} ({low:+.3f} to {high:+.3f})",
        f"{run['perplexity_ratio']:.2f}",
        f"{run['cka']:.3f}",
        f"{100 * run['relative_change']:.2f}%",
    ]


def table(head: list[str], rows: list[list[str]]) -> str:
    return "\n".join(f"| {' | '.join(cells)} |" for cells in [head, ["---"] * len(head), *rows])
