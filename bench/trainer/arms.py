"""Run the arms of a measurement by turns and summarize them.

The arms are tlplug, transformers' Trainer untuned and tuned, and a hand-written loop.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from bench.processes import Figures, make_cache, measure
from bench.settings import parse_changes
from bench.trainer.measurements import MEASUREMENTS

COSTS = {
    "seconds": "train_seconds",
    "cpu_seconds": "train_cpu_seconds",
    "trainable_parameters": "trainable_parameters",
}
"""The name of a cost in result.json -> its name here."""
COMPARED = ("train_seconds", "train_cpu_seconds", "process_seconds", "process_cpu_seconds", "peak_memory_mb")
"""The costs that have ratios."""
TLPLUG, TRAINER, TUNED, LOOP = ARMS = ("tlplug", "trainer", "trainer tuned", "loop")
"""The arms, in the order of their turns."""
Runs = list[Figures]
Words = list[str]


def compare(name: str, strategy: str, seeds: Sequence[int], changes: Words) -> dict[str, Any]:
    """Run all arms of one strategy for each seed and summarize them.

    Args:
        changes: settings as `name=value` that replace the measurement's own.
    """
    measurement = MEASUREMENTS[name]
    arms = run_by_turns(name, strategy, seeds, changes)
    return {
        "settings": vars(measurement.settings_of(strategy, parse_changes(changes))),
        "arms": arms,
        "summary": summarize(arms, measurement.scores),
    }


def run_by_turns(name: str, strategy: str, seeds: Sequence[int], changes: Words) -> dict[str, Runs]:
    """Run one arm after another for each seed, so that other work on the machine affects all of them."""
    runs: dict[str, Runs] = {arm: [] for arm in ARMS}
    with TemporaryDirectory() as home:
        for seed in seeds:
            for arm in ARMS:
                folder = Path(home) / f"{arm.replace(' ', '-')}-{seed}"
                figures = run_arm(arm, name, strategy, seed, folder, changes)
                runs[arm].append({"seed": seed, **figures})
                print(name, strategy, arm, runs[arm][-1], flush=True)
    return runs


def run_arm(arm: str, name: str, strategy: str, seed: int, folder: Path, changes: Words) -> Figures:
    def read(results: Figures) -> Figures:
        return tlplug_figures(results, MEASUREMENTS[name].scores) if arm == TLPLUG else results

    words, results = command(arm, name, strategy, seed, folder, changes)
    return measure(words, results, read, make_cache(folder))


def command(
    arm: str, name: str, strategy: str, seed: int, folder: Path, changes: Words
) -> tuple[Words, Path]:
    """Return the words after `python -m`, and the JSON file that the process writes."""
    out = folder.with_suffix(".json")
    if arm in (TRAINER, TUNED):
        tuned = ["tuned"] if arm == TUNED else []
        module = "bench.trainer.transformers_trainer"
        return [module, name, strategy, str(seed), str(out), *tuned, *changes], out
    measurement = MEASUREMENTS[name]
    settings = measurement.settings_of(strategy, parse_changes(changes))
    words = [*measurement.words(strategy, settings), f"seed={seed}"]
    if arm == LOOP:
        return ["bench.trainer.manual_loop", str(out), *words], out
    return ["tlplug", *words, f"run_dir={folder}"], folder / "result.json"


def tlplug_figures(result: Figures, scores: Iterable[str]) -> Figures:
    """Return the scores and the costs of a result.json."""
    costs = {name: result["cost"][cost] for cost, name in COSTS.items() if cost in result["cost"]}
    return {score: result["scores"][score] for score in scores} | costs


def summarize(arms: dict[str, Runs], scores: Iterable[str]) -> dict[str, Any]:
    """Return for each arm `median`, `min` and `max` of its figures over the seeds, and paired `ratios` to tlplug.

    A figure that an arm does not have is omitted.
    """
    return {
        arm: {
            **{
                name: spread(runs, name)
                for name in (*scores, *COMPARED, "trainable_parameters")
                if has(runs, name)
            },
            "ratios": ratios(arms[TLPLUG], runs),
        }
        for arm, runs in arms.items()
    }


def spread(runs: Runs, name: str) -> dict[str, float]:
    values = [run[name] for run in runs]
    return {"median": statistics.median(values), "min": min(values), "max": max(values)}


def ratios(ours: Runs, theirs: Runs) -> dict[str, float]:
    """Return the median ratio of another arm's cost to tlplug's: above 1, tlplug is cheaper."""
    pairs = list(zip(ours, theirs, strict=True))
    return {
        cost: statistics.median(b[cost] / a[cost] for a, b in pairs)
        for cost in COMPARED
        if has(ours, cost) and has(theirs, cost)
    }


def has(runs: Runs, name: str) -> bool:
    return all(name in run for run in runs)


def is_close(name: str, strategy: dict[str, Any]) -> bool:
    """Return whether tlplug's median of the first score is within the allowed distance of the Trainer's."""
    measurement, arms = MEASUREMENTS[name], strategy["summary"]
    ours, theirs = (arms[arm][measurement.scores[0]]["median"] for arm in (TLPLUG, TRAINER))
    return bool(abs(100 * (ours - theirs)) <= measurement.points)
