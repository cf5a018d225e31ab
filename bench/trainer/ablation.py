"""Measure the speedup of each optimization: python -m bench.trainer.ablation [SEED ...]

Trains LoRA on SST-2 as in bench/trainer/measurements.py, with the defaults and with one optimization switched off, by turns.
Writes bench/trainer/ablation.json and bench/trainer/ablation.md.
"""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from bench.processes import make_cache, measure
from bench.results import Results, machine, markdown, measured_by, save, table
from bench.settings import seeds_in
from bench.trainer.arms import TLPLUG, command, spread, tlplug_figures
from bench.trainer.results_page import median_and_range

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


def run_by_turns(seeds: Sequence[int]) -> dict[str, list[Results]]:
    runs: dict[str, list[Results]] = {name: [] for name in PIECES}
    with TemporaryDirectory() as home:
        for seed in seeds:
            for number, (name, changes) in enumerate(PIECES.items()):
                folder = Path(home) / f"{number}-{seed}"
                runs[name].append(run_lora(seed, folder, changes))
                print(name, seed, runs[name][-1], flush=True)
    return runs


def run_lora(seed: int, folder: Path, changes: Sequence[str]) -> Results:
    words, results = command(TLPLUG, "sst2", "lora", seed, folder, [])
    read = partial(tlplug_figures, scores=["accuracy"])
    return measure([*words, *changes], results, read, make_cache(folder))


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
    paragraphs = [
        "# The speedup of each optimization",
        "LoRA on 4000 rows of SST-2, one epoch, batches of 32 rows on average. Each row differs from the first in one "
        "setting.",
        table(head, rows),
        measured_by(results),
    ]
    return markdown(paragraphs)


def main(words: Sequence[str]) -> None:
    origin = {"command": shlex.join(["python", "-m", "bench.trainer.ablation", *words]), "machine": machine()}
    results = origin | {"runs": run_by_turns(seeds_in(words))}
    save(Path(__file__).with_suffix(".json"), results, page)
    print(page(results))


if __name__ == "__main__":
    main(sys.argv[1:])
