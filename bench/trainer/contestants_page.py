"""Write the results of a measurement's arms as Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from bench.markdown import Results, listed, measured_by, table
from bench.trainer.contestants import TLPLUG
from bench.trainer.measurements import MEASUREMENTS
from bench.trainer.summary import COMPARED

COSTS = {
    "train_seconds": "{:.1f}",
    "train_cpu_seconds": "{:.1f}",
    "process_seconds": "{:.1f}",
    "process_cpu_seconds": "{:.1f}",
    "peak_memory_mb": "{:.0f}",
    "trainable_parameters": "{:,.0f}",
}
MISSING = "-"


def arms_part(name: str, results: Results) -> list[str]:
    measurement, strategies = MEASUREMENTS[name], results["strategies"]
    forms = dict.fromkeys(measurement.scores, "{:.4f}") | COSTS
    return [
        f"## {measurement.title}",
        table(["strategy", "arm", *map(title, forms)], list(figure_rows(strategies, forms))),
        "Each arm's figure over tlplug's, the median over the seeds: above 1, tlplug is cheaper.",
        table(["strategy", "arm", *map(title, COMPARED)], list(ratio_rows(strategies))),
        "\n".join(f"* {strategy}: {origin(each)}" for strategy, each in strategies.items()),
        "The commands for the first seed (run_dir and the output file are wherever you like):",
        *(f"    {runs[0]['command']}" for each in strategies.values() for runs in each["arms"].values()),
    ]


def title(name: str) -> str:
    return name.replace("_", " ").replace("cpu", "CPU").replace(" mb", " MB")


def origin(strategy: Results) -> str:
    """Describe the seeds, the settings, the command and the machine."""
    seeds = ", ".join(str(run["seed"]) for run in strategy["arms"][TLPLUG])
    return f"seeds {seeds}; {listed(strategy['settings'])}. {measured_by(strategy)}"


def figure_rows(strategies: Results, forms: dict[str, str]) -> Iterator[list[str]]:
    for strategy, each in strategies.items():
        for arm, figures in each["summary"].items():
            cells = (
                median_and_range(figures[name], form) if name in figures else MISSING
                for name, form in forms.items()
            )
            yield [strategy, arm, *cells]


def ratio_rows(strategies: Results) -> Iterator[list[str]]:
    for strategy, each in strategies.items():
        for arm, figures in each["summary"].items():
            if arm != TLPLUG:
                yield [strategy, arm, *ratio_cells(figures["ratios"], COMPARED)]


def ratio_cells(ratios: Results, costs: Iterable[str]) -> list[str]:
    return [f"{ratios[cost]:.2f}" if cost in ratios else MISSING for cost in costs]


def median_and_range(figure: Results, form: str) -> str:
    """Format the median, with the minimum and maximum if they differ."""
    median, least, most = (form.format(figure[name]) for name in ("median", "min", "max"))
    return median if least == most else f"{median} ({least} to {most})"
