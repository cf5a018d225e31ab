"""`python -m tlplug` beside the Trainer arm, a process each."""

from __future__ import annotations

import json
import os
import shlex
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from bench.measurements import MEASUREMENTS, ZERO_SHOT
from bench.settings import ROOT, changed
from tlplug.cache import cache_folder

MEBIBYTE = 2**20
KIBIBYTE = 1 if sys.platform == "darwin" else 1024
"""The unit of the peak memory that the system reports of a process."""
UNPACKED = "gguf"
"""Of the cache what is no result: the unpacked base models."""
COSTS = ("train_seconds", "process_seconds", "process_cpu_seconds", "peak_memory_mb")
Words = list[str]
Figures = dict[str, Any]


def compare(name: str, seeds: Sequence[int], changes: Words) -> dict[str, Any]:
    """All strategies of one measurement, for each seed.

    Args:
        changes: settings as `name=value`, in place of the measurement's own.
    """
    measurement, typed = MEASUREMENTS[name], changed(changes)
    strategies = {}
    for strategy, own in measurement.strategies.items():
        # Nothing is drawn where nothing is trained.
        arms = both_arms(name, strategy, seeds[:1] if strategy == ZERO_SHOT else seeds, changes)
        strategies[strategy] = {
            "own": {setting: value for setting, value in own.items() if setting not in typed},
            **arms,
            "summary": summary(arms, measurement.scores),
        }
    return {"settings": vars(measurement.settings) | typed, "strategies": strategies}


def both_arms(name: str, strategy: str, seeds: Sequence[int], changes: Words) -> dict[str, list[Figures]]:
    """By turns for each seed, so that what else the machine does falls on both."""
    arms: dict[str, list[Figures]] = {"tlplug": [], "trainer": []}
    with TemporaryDirectory() as folder:
        for seed in seeds:
            for arm, words in (("tlplug", tlplug_arm), ("trainer", trainer_arm)):
                place = Path(folder) / f"{arm}-{seed}"
                found = measured(*words(name, strategy, seed, place, changes), cache=empty_cache(place))
                arms[arm].append({"seed": seed, **found})
                print(name, strategy, arm, arms[arm][-1], flush=True)
    return arms


def tlplug_arm(
    name: str, strategy: str, seed: int, folder: Path, changes: Words
) -> tuple[Words, Callable[[], Figures]]:
    """The command, and what reads its figures."""
    measurement = MEASUREMENTS[name]
    words = measurement.words(strategy, measurement.settings_of(strategy, changed(changes)))

    def figures() -> Figures:
        result = json.loads((folder / "result.json").read_text(encoding="utf-8"))
        return {
            **{score: result["scores"][score] for score in measurement.scores},
            "train_seconds": result["cost"]["seconds"],
            "trainable_parameters": result["cost"]["trainable_parameters"],
        }

    return [*words, f"seed={seed}", f"run_dir={folder}"], figures


def trainer_arm(
    name: str, strategy: str, seed: int, folder: Path, changes: Words
) -> tuple[Words, Callable[[], Figures]]:
    out = folder.with_suffix(".json")
    words = ["bench.trainer_arm", name, strategy, str(seed), str(out), *changes]
    return words, lambda: json.loads(out.read_text(encoding="utf-8"))


def empty_cache(place: Path) -> Path:
    """A cache for one run, where no rows are encoded yet; base models that were unpacked are there."""
    folder = place.with_suffix(".cache")
    folder.mkdir()
    (folder / UNPACKED).symlink_to((cache_folder() / UNPACKED).resolve())
    return folder


def measured(words: Words, figures: Callable[[], Figures], cache: Path) -> Figures:
    """Run `python -m <words>` from the project's root; its figures with the whole process's time and memory.

    What this process has once had in memory, the system reports of its children too: nothing heavy is imported here.
    """
    started = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "-m", *words],
        cwd=ROOT,
        env=os.environ | {"HF_HUB_OFFLINE": "1", "TLPLUG_CACHE": str(cache)},
        stdout=subprocess.DEVNULL,
    )
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        raise RuntimeError(f"exit code {process.returncode}: python -m {shlex.join(words)}")
    return {
        **figures(),
        "process_seconds": time.perf_counter() - started,
        "process_cpu_seconds": usage.ru_utime + usage.ru_stime,
        "peak_memory_mb": usage.ru_maxrss * KIBIBYTE / MEBIBYTE,
        "command": shlex.join(["python", "-m", *words]),
    }


def summary(arms: dict[str, list[Figures]], scores: Sequence[str]) -> dict[str, Any]:
    """Means over the seeds. A ratio is the Trainer's figure over tlplug's, pair by pair: above 1, tlplug is cheaper."""
    pairs = list(zip(arms["tlplug"], arms["trainer"], strict=True))
    means = {
        score: {name: statistics.mean(run[score] for run in runs) for name, runs in arms.items()}
        for score in scores
    }
    return {
        "scores": {
            score: found | {"difference_in_points": 100 * (found["tlplug"] - found["trainer"])}
            for score, found in means.items()
        },
        "ratios": {
            cost: statistics.median(theirs[cost] / ours[cost] for ours, theirs in pairs)
            for cost in COSTS
            if all(ours[cost] for ours, _ in pairs)
        },
    }


def near(name: str, found: dict[str, Any]) -> bool:
    """Whether the arms' means of the first score are as near as they have to be, by every strategy."""
    measurement = MEASUREMENTS[name]
    differences = (
        each["summary"]["scores"][measurement.scores[0]]["difference_in_points"]
        for each in found["strategies"].values()
    )
    return all(abs(difference) <= measurement.points for difference in differences)
