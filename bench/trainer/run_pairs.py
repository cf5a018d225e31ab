"""Run the arms of a measurement by turns, each in a process of its own."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from bench.settings import parse_changes
from bench.subprocess_call import Figures, Words, make_cache, measure
from bench.trainer.contestants import ARMS
from bench.trainer.measurements import MEASUREMENTS
from bench.trainer.summary import summarize


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


def run_by_turns(name: str, strategy: str, seeds: Sequence[int], changes: Words) -> dict[str, list[Figures]]:
    """Run one arm after another for each seed, so that other work on the machine affects all of them."""
    runs: dict[str, list[Figures]] = {arm: [] for arm in ARMS}
    with TemporaryDirectory() as home:
        for seed in seeds:
            for arm, build in ARMS.items():
                folder = Path(home) / f"{arm.replace(' ', '-')}-{seed}"
                words, read_figures = build(name, strategy, seed, folder, changes)
                runs[arm].append({"seed": seed, **measure(words, read_figures, make_cache(folder))})
                print(name, strategy, arm, runs[arm][-1], flush=True)
    return runs
