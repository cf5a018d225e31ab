"""What each thing is worth that makes a training fast: python -m bench.trainer.ablation [SEED ...]

LoRA on SST-2 as in bench/trainer/measurements.py, as it comes and with one thing switched off, by turns. Written to
bench/trainer/ablation.json and bench/trainer/ablation.md.
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
from bench.subprocess_call import empty_cache, measured
from bench.trainer.contestants import tlplug_arm
from bench.trainer.contestants_page import ranged
from bench.trainer.summary import spread

HERE = Path(__file__).resolve().parent
AS_IT_COMES = "as it comes"
PIECES = {
    AS_IT_COMES: (),
    "batches of 32 rows each": ("data.batching=rows",),
    "float32": ("trainer.precision=32-true",),
    "torch's dropout": ("model.fast_dropout=false",),
}
"""What is other -> the words for it."""
FORMS = {
    "accuracy": "{:.4f}",
    "train_cpu_seconds": "{:.1f}",
    "train_seconds": "{:.1f}",
    "peak_memory_mb": "{:.0f}",
}
Results = dict[str, Any]


def by_turns(seeds: Sequence[int]) -> dict[str, list[Results]]:
    found: dict[str, list[Results]] = {name: [] for name in PIECES}
    with TemporaryDirectory() as folder:
        for seed in seeds:
            for number, (name, changes) in enumerate(PIECES.items()):
                place = Path(folder) / f"{number}-{seed}"
                words, figures = tlplug_arm("sst2", "lora", seed, place, [])
                found[name].append(measured([*words, *changes], figures, empty_cache(place)))
                print(name, seed, found[name][-1], flush=True)
    return found


def page(found: Results) -> str:
    rows = []
    usual = spread(found["runs"][AS_IT_COMES], "train_cpu_seconds")["median"]
    for piece, runs in found["runs"].items():
        figures = {name: spread(runs, name) for name in FORMS}
        ratio = figures["train_cpu_seconds"]["median"] / usual
        words = " ".join(f"`{word}`" for word in PIECES[piece])
        cells = [ranged(figures[name], form) for name, form in FORMS.items()]
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
        "# What each piece is worth",
        "LoRA on 4000 rows of SST-2, one epoch, batches of 32 rows on average. Each row has one thing other than the first.",
        table(head, rows),
        measured_by(found),
    ]
    return "\n\n".join(parts) + "\n"


def main(words: Sequence[str]) -> None:
    seeds = [int(word) for word in words] or [0, 1, 2]
    command = shlex.join(["python", "-m", "bench.trainer.ablation", *words])
    found = {"command": command, "machine": machine(), "runs": by_turns(seeds)}
    (HERE / "ablation.json").write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
    (HERE / "ablation.md").write_text(page(found), encoding="utf-8")
    print(page(found))


if __name__ == "__main__":
    main(sys.argv[1:])
