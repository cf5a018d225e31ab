"""Write the results as Markdown."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from bench.results import Results, listed, markdown, measured_by, table
from bench.trainer.arms import COMPARED, TLPLUG
from bench.trainer.measurements import MEASUREMENTS

INTRODUCTION = (
    "Each part has the commands that measure it again. The arms are tlplug with its defaults, transformers' Trainer (with "
    "peft) with its defaults, the Trainer tuned (bfloat16 where the processor supports it, examples grouped by "
    "length), and a hand-written loop over tlplug's own batches and model. All have the same rows, settings and seed, "
    "and run by turns. Training seconds are those of the fit; seconds, CPU seconds and peak resident memory of the "
    "process include its start, its test and its saved files. The cache holds no encoded rows. Figures are medians "
    "over the seeds, with the minimum and the maximum in brackets."
)
FORMS = {
    "train_seconds": "{:.1f}",
    "train_cpu_seconds": "{:.1f}",
    "process_seconds": "{:.1f}",
    "process_cpu_seconds": "{:.1f}",
    "peak_memory_mb": "{:.0f}",
    "trainable_parameters": "{:,.0f}",
}
MISSING = "-"


def page(results: Results) -> str:
    parts = [["# Measured", INTRODUCTION]]
    others = {"second": second_part, "curves": curves_part, "forgetting": forgetting_part}
    for name, part in results.items():
        parts.append(arms_part(name, part) if name in MEASUREMENTS else others[name](part))
    return markdown(paragraph for part in parts for paragraph in part)


def arms_part(name: str, results: Results) -> list[str]:
    measurement, strategies = MEASUREMENTS[name], results["strategies"]
    forms = dict.fromkeys(measurement.scores, "{:.4f}") | FORMS
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
                ratios = figures["ratios"]
                cells = (f"{ratios[cost]:.2f}" if cost in ratios else MISSING for cost in COMPARED)
                yield [strategy, arm, *cells]


def median_and_range(figure: Results, form: str) -> str:
    """Format the median, with the minimum and maximum if they differ."""
    median, least, most = (form.format(figure[name]) for name in ("median", "min", "max"))
    return median if least == most else f"{median} ({least} to {most})"


def second_part(results: Results) -> list[str]:
    head = ["seed", "run", "process seconds", "process CPU seconds", "added to the cache", "scores"]
    return [
        "## The second run of a task: 1000 sentences of SST-2, lora and the default baselines, one cache",
        measured_by(results),
        *runs_and_commands(head, results["runs"], second_cells),
    ]


def runs_and_commands(head: list[str], runs: Results, cells: Callable[[Results], list[str]]) -> Iterator[str]:
    """Yield a table with a row for each run of each seed, and the commands for the first seed."""
    yield table(
        head, [[seed, name, *cells(run)] for seed, each in runs.items() for name, run in each.items()]
    )
    yield "The commands for the first seed:"
    yield from (f"    {run['command']}" for run in next(iter(runs.values())).values())


def second_cells(run: Results) -> list[str]:
    return [
        f"{run['process_seconds']:.1f}",
        f"{run['process_cpu_seconds']:.1f}",
        listed(run["computed"]) or "nothing",
        ", ".join(f"{name} {score:.4f}" for name, score in run["scores"].items()),
    ]


def curves_part(results: Results) -> list[str]:
    head = ["strategy", "steps", "first loss", "last loss", "largest difference of a step", "tolerance"]
    return [
        "## Loss curves, dropout off, the same order and the same first weights",
        measured_by(results),
        table(head, [curve_cells(*curve) for curve in results["strategies"].items()]),
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


def forgetting_part(results: Results) -> list[str]:
    head = [
        "seed",
        "strategy",
        "rate",
        "ROUGE-L",
        "source NLL before",
        "after",
        "change (95% interval over texts)",
        "perplexity ratio",
        "CKA, mean",
        "weight change",
    ]
    return [
        "## Forgetting: SmolLM2-135M adapted to SciTLDR, and its NLL of a beekeeper's handbook",
        measured_by(results),
        "NLL is the negative log-likelihood in nats a token, weighted by tokens. 100 training rows, one epoch, batches "
        "of 4; ROUGE-L of 16 test rows, which is too few to rank by.",
        *runs_and_commands(head, results["runs"], forgetting_cells),
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
