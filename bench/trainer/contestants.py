"""What is measured side by side: tlplug, transformers' Trainer as it comes and tuned, and a loop written by hand."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from bench.settings import changed
from bench.subprocess_call import Figures, Words
from bench.trainer.measurements import MEASUREMENTS

Arm = tuple[Words, Callable[[], Figures]]
"""What `python -m` is started with, and what reads its figures once it has ended."""
SPENT = {
    "seconds": "train_seconds",
    "cpu_seconds": "train_cpu_seconds",
    "trainable_parameters": "trainable_parameters",
}
"""Of the costs in result.json -> their names here."""


def tlplug_arm(name: str, strategy: str, seed: int, folder: Path, changes: Words) -> Arm:
    def figures() -> Figures:
        result = json.loads((folder / "result.json").read_text(encoding="utf-8"))
        return {
            **{score: result["scores"][score] for score in MEASUREMENTS[name].scores},
            **{here: result["cost"][there] for there, here in SPENT.items() if there in result["cost"]},
        }

    return ["tlplug", *asked(name, strategy, seed, changes), f"run_dir={folder}"], figures


def trainer_arm(name: str, strategy: str, seed: int, folder: Path, changes: Words) -> Arm:
    out = folder.with_suffix(".json")
    return ["bench.trainer.transformers_trainer", name, strategy, str(seed), str(out), *changes], written_in(
        out
    )


def tuned_arm(name: str, strategy: str, seed: int, folder: Path, changes: Words) -> Arm:
    return trainer_arm(name, strategy, seed, folder, ["tuned", *changes])


def loop_arm(name: str, strategy: str, seed: int, folder: Path, changes: Words) -> Arm:
    out = folder.with_suffix(".json")
    return ["bench.trainer.manual_loop", str(out), *asked(name, strategy, seed, changes)], written_in(out)


def asked(name: str, strategy: str, seed: int, changes: Words) -> Words:
    """Of tlplug, and of the loop that does the same by hand."""
    measurement = MEASUREMENTS[name]
    settings = measurement.settings_of(strategy, changed(changes))
    return [*measurement.words(strategy, settings), f"seed={seed}"]


def written_in(out: Path) -> Callable[[], Figures]:
    return lambda: json.loads(out.read_text(encoding="utf-8"))


TLPLUG, TRAINER = "tlplug", "trainer"
ARMS: dict[str, Callable[[str, str, int, Path, Words], Arm]] = {
    TLPLUG: tlplug_arm,
    TRAINER: trainer_arm,
    "trainer tuned": tuned_arm,
    "loop": loop_arm,
}
"""In the order of their turns. Each is given a measurement, a strategy, a seed, a folder and changed settings."""
