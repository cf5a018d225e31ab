"""`python -m bench [SEED ...]` takes all measurements and writes bench/results.json and bench/results.md."""

from __future__ import annotations

import json
import os
import platform
import shlex
import sys
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from bench.settings import missing_data

HERE = Path(__file__).resolve().parent
SEEDS = (0, 1, 2)
LIBRARIES = ("tlplug", "torch", "lightning", "transformers", "peft", "accelerate")
COLUMNS = {
    "seed": "{}",
    "accuracy": "{:.4f}",
    "train_seconds": "{:.1f}",
    "process_seconds": "{:.1f}",
    "process_cpu_seconds": "{:.1f}",
    "peak_memory_mb": "{:.0f}",
    "trainable_parameters": "{:,}",
}


def main(words: Sequence[str]) -> int:
    """Returns the exit code: 0 all agrees, 1 something does not, 2 the data set is not there."""
    if absent := missing_data():
        print(absent, file=sys.stderr)
        return 2
    from bench import loss_curves, sst2_lora

    command = shlex.join(["python", "-m", "bench", *words])
    curves = loss_curves.compare()
    found = sst2_lora.compare([int(word) for word in words] or SEEDS)
    results = {"command": command, "machine": machine(), "loss_curves": curves, "sst2_lora": found}
    (HERE / "results.json").write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")
    text = page(results)
    (HERE / "results.md").write_text(text, encoding="utf-8")
    print(text)
    near = abs(found["summary"]["difference_in_points"]) <= sst2_lora.POINTS
    return 0 if near and all(curve["agree"] for curve in curves.values()) else 1


def machine() -> dict[str, Any]:
    return {
        "processor": processor(),
        "cores": os.cpu_count(),
        "threads": os.environ.get("OMP_NUM_THREADS", "all cores"),
        "load_at_start": round(os.getloadavg()[0], 2),
        "python": platform.python_version(),
        **{name: version(name) for name in LIBRARIES},
    }


def processor() -> str:
    listed = Path("/proc/cpuinfo")
    lines = listed.read_text(encoding="utf-8").splitlines() if listed.is_file() else []
    named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(named, platform.processor() or platform.machine())


def page(results: dict[str, Any]) -> str:
    parts = [
        "# Measured",
        f"`{results['command']}`, with {', '.join(f'{k} {v}' for k, v in results['machine'].items())}.",
        "## LoRA on SST-2, beside transformers' Trainer with peft",
        settings_line(results["sst2_lora"]["settings"]),
        runs_table(results["sst2_lora"]),
        summary_line(results["sst2_lora"]["summary"]),
        "The commands for the first seed (run_dir and the output file are wherever you like):",
        "\n\n".join(f"    {results['sst2_lora'][arm][0]['command']}" for arm in ("tlplug", "trainer")),
        "## Loss curves, dropout off, the same order and the same first weights",
        curves_table(results["loss_curves"]),
    ]
    return "\n\n".join(parts) + "\n"


def settings_line(settings: dict[str, Any]) -> str:
    return (
        "Accuracy on the 872 rows of the validation split. Both arms: "
        + ", ".join(f"{name} {value}" for name, value in settings.items())
        + ". Order, dropout masks and all else are as each comes. Training seconds are those of the fit; seconds, CPU "
        "seconds and peak resident memory of the process include its start, its test and what it saves."
    )


def runs_table(found: dict[str, Any]) -> str:
    pairs = zip(found["tlplug"], found["trainer"], strict=True)
    rows = [row for ours, theirs in pairs for row in (("tlplug", ours), ("trainer", theirs))]
    return table(
        ["", *(name.replace("_", " ") for name in COLUMNS)],
        [[arm, *(form.format(run[name]) for name, form in COLUMNS.items())] for arm, run in rows],
    )


def summary_line(summary: dict[str, float]) -> str:
    ratios = ", ".join(
        f"{name.removesuffix('_ratio').replace('_', ' ')} {value:.2f}"
        for name, value in summary.items()
        if name.endswith("_ratio")
    )
    return (
        f"Mean accuracy: tlplug {summary['tlplug']:.4f}, Trainer {summary['trainer']:.4f}, difference "
        f"{summary['difference_in_points']:+.2f} points. The Trainer's figure over tlplug's, median of the pairs: {ratios}."
    )


def curves_table(curves: dict[str, Any]) -> str:
    def cells(name: str, curve: dict[str, Any]) -> list[str]:
        ends = [f"{curve['tlplug'][0]:.4f}", f"{curve['tlplug'][-1]:.4f}"]
        return [
            name,
            str(curve["steps"]),
            *ends,
            f"{curve['largest_difference']:.1e}",
            f"{curve['tolerance']:.0e}",
        ]

    head = ["strategy", "steps", "first loss", "last loss", "largest difference of a step", "tolerance"]
    return table(head, [cells(name, curve) for name, curve in curves.items()])


def table(head: list[str], rows: list[list[str]]) -> str:
    return "\n".join(f"| {' | '.join(cells)} |" for cells in [head, ["---"] * len(head), *rows])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
