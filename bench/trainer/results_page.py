"""Write the results as Markdown."""

from __future__ import annotations

from bench.markdown import Results, listed, measured_by, table
from bench.trainer.contestants_page import arms_part
from bench.trainer.measurements import MEASUREMENTS
from bench.trainer.options import CURVES, FORGETTING, SECOND

INTRODUCTION = (
    "Each part has the commands that measure it again. The arms are tlplug with its defaults, transformers' Trainer (with "
    "peft) with its defaults, the Trainer tuned (bfloat16 where the processor supports it, examples grouped by "
    "length), and a hand-written loop over tlplug's own batches and model. All have the same rows, settings and seed, "
    "and run by turns. Training seconds are those of the fit; seconds, CPU seconds and peak resident memory of the "
    "process include its start, its test and its saved files. The cache holds no encoded rows. Figures are medians "
    "over the seeds, with the minimum and the maximum in brackets."
)


def page(results: Results) -> str:
    parts = [["# Measured", INTRODUCTION]]
    others = {SECOND: second_part, CURVES: curves_part, FORGETTING: forgetting_part}
    for name, part in results.items():
        parts.append(arms_part(name, part) if name in MEASUREMENTS else others[name](part))
    return "\n\n".join(paragraph for part in parts for paragraph in part) + "\n"


def second_part(results: Results) -> list[str]:
    head = ["seed", "run", "process seconds", "process CPU seconds", "added to the cache", "scores"]
    rows = [
        [seed, name, *second_cells(run)]
        for seed, runs in results["runs"].items()
        for name, run in runs.items()
    ]
    first = next(iter(results["runs"].values()))
    return [
        "## The second run of a task: 1000 sentences of SST-2, lora and the default baselines, one cache",
        measured_by(results),
        table(head, rows),
        "The commands for the first seed:",
        *(f"    {run['command']}" for run in first.values()),
    ]


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
    ]
    rows = [
        [seed, name, *forgetting_cells(run)]
        for seed, runs in results["runs"].items()
        for name, run in runs.items()
    ]
    first = next(iter(results["runs"].values()))
    return [
        "## Forgetting: SmolLM2-135M adapted to SciTLDR, and its NLL of a beekeeper's handbook",
        measured_by(results),
        "NLL is the negative log-likelihood in nats a token, weighted by tokens. 100 training rows, one epoch, batches "
        "of 4; ROUGE-L of 16 test rows, which is too few to rank by.",
        table([*head, "perplexity ratio", "CKA, mean", "weight change"], rows),
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
