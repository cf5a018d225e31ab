"""Measure the speedup of each optimization: python -m bench.trainer.ablation [SEED ...]

Trains LoRA on SST-2 as in bench/trainer/measurements.py, with the defaults and with one optimization switched off, by turns.
Writes bench/trainer/ablation.json and bench/trainer/ablation.md.
"""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from bench.machine import machine
from bench.markdown import measured_by, table
from bench.subprocess_call import make_cache, measure
from bench.trainer.contestants import tlplug_arm
from bench.trainer.contestants_page import median_and_range
from bench.trainer.summary import spread

HERE = Path(__file__).resolve().parent
AS_IT_COMES = "as it comes"
PIECES = {
    AS_IT_COMES: (),
    "batches of 32 rows each": ("data.batching=rows",),
    "float32": ("trainer.precision=32-true",),
    "torch's dropout": ("model.fast_dropout=false",),
}
"""What differs from the defaults -> the words for it."""
FORMS = {
    "accuracy": "{:.4f}",
    "train_cpu_seconds": "{:.1f}",
    "train_seconds": "{:.1f}",
    "peak_memory_mb": "{:.0f}",
}
Results = dict[str, Any]


def run_by_turns(seeds: Sequence[int]) -> dict[str, list[Results]]:
    runs: dict[str, list[Results]] = {name: [] for name in PIECES}
    with TemporaryDirectory() as home:
        for seed in seeds:
            for number, (name, changes) in enumerate(PIECES.items()):
                folder = Path(home) / f"{number}-{seed}"
                words, read_figures = tlplug_arm("sst2", "lora", seed, folder, [])
                runs[name].append(measure([*words, *changes], read_figures, make_cache(folder)))
                print(name, seed, runs[name][-1], flush=True)
    return runs


def page(results: Results) -> str:
    rows = []
    default = spread(results["runs"][AS_IT_COMES], "train_cpu_seconds")["median"]
    for piece, runs in results["runs"].items():
        figures = {name: spread(runs, name) for name in FORMS}
        ratio = figures["train_cpu_seconds"]["median"] / default
        words = " ".join(f"`{word}`" for word in PIECES[piece])
        cells = [median_and_range(figures[name], form) for name, form in FORMS.items()]
        rows.append([piece, words, *cells, f"{ratio:.2f}"])
    head = [
        "",
        "words",
        "accuracy",
        "train CPU seconds",
        "train seconds",
        "peak memory MB",
        "CPU seconds, ratio",
    ]
    parts = [
        "# The speedup of each optimization",
        "LoRA on 4000 rows of SST-2, one epoch, batches of 32 rows on average. Each row differs from the first in one "
        "setting.",
        table(head, rows),
        measured_by(results),
    ]
    return "\n\n".join(parts) + "\n"


def main(words: Sequence[str]) -> None:
    seeds = [int(word) for word in words] or [0, 1, 2]
    command = shlex.join(["python", "-m", "bench.trainer.ablation", *words])
    results = {"command": command, "machine": machine(), "runs": run_by_turns(seeds)}
    (HERE / "ablation.json").write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")
    (HERE / "ablation.md").write_text(page(results), encoding="utf-8")
    print(page(results))


if __name__ == "__main__":
    main(sys.argv[1:])
