"""Build the command line of each arm: tlplug, transformers' Trainer untuned and tuned, and a hand-written loop."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from bench.settings import parse_changes
from bench.subprocess_call import Figures, Words
from bench.trainer.measurements import MEASUREMENTS

Arm = tuple[Words, Callable[[], Figures]]
"""The words after `python -m`, and a function that reads the figures of the finished process."""
COSTS = {
    "seconds": "train_seconds",
    "cpu_seconds": "train_cpu_seconds",
    "trainable_parameters": "trainable_parameters",
}
"""The name of a cost in result.json -> its name here."""


def tlplug_arm(name: str, strategy: str, seed: int, folder: Path, changes: Words) -> Arm:
    def figures() -> Figures:
        result = json.loads((folder / "result.json").read_text(encoding="utf-8"))
        return {
            **{score: result["scores"][score] for score in MEASUREMENTS[name].scores},
            **{name: result["cost"][cost] for cost, name in COSTS.items() if cost in result["cost"]},
        }

    return ["tlplug", *task_words(name, strategy, seed, changes), f"run_dir={folder}"], figures


def trainer_arm(name: str, strategy: str, seed: int, folder: Path, changes: Words) -> Arm:
    out = folder.with_suffix(".json")
    words = ["bench.trainer.transformers_trainer", name, strategy, str(seed), str(out), *changes]
    return words, reader(out)


def tuned_arm(name: str, strategy: str, seed: int, folder: Path, changes: Words) -> Arm:
    return trainer_arm(name, strategy, seed, folder, ["tuned", *changes])


def loop_arm(name: str, strategy: str, seed: int, folder: Path, changes: Words) -> Arm:
    out = folder.with_suffix(".json")
    words = ["bench.trainer.manual_loop", str(out), *task_words(name, strategy, seed, changes)]
    return words, reader(out)


def task_words(name: str, strategy: str, seed: int, changes: Words) -> Words:
    """Return the words of a run that tlplug and the loop share."""
    measurement = MEASUREMENTS[name]
    settings = measurement.settings_of(strategy, parse_changes(changes))
    return [*measurement.words(strategy, settings), f"seed={seed}"]


def reader(out: Path) -> Callable[[], Figures]:
    return lambda: json.loads(out.read_text(encoding="utf-8"))


TLPLUG, TRAINER = "tlplug", "trainer"
ARMS: dict[str, Callable[[str, str, int, Path, Words], Arm]] = {
    TLPLUG: tlplug_arm,
    TRAINER: trainer_arm,
    "trainer tuned": tuned_arm,
    "loop": loop_arm,
}
"""The arms, in the order of their turns; each takes a measurement, a strategy, a seed, a folder and changed settings."""
