"""The arms of a measurement by turns, a process each."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from bench.settings import changed
from bench.subprocess_call import Figures, Words, empty_cache, measured
from bench.trainer.contestants import ARMS
from bench.trainer.measurements import MEASUREMENTS
from bench.trainer.summary import summary


def compare(name: str, strategy: str, seeds: Sequence[int], changes: Words) -> dict[str, Any]:
    """All arms of one strategy, for each seed.

    Args:
        changes: settings as `name=value`, in place of the measurement's own.
    """
    measurement = MEASUREMENTS[name]
    arms = by_turns(name, strategy, seeds, changes)
    return {
        "settings": vars(measurement.settings_of(strategy, changed(changes))),
        "arms": arms,
        "summary": summary(arms, measurement.scores),
    }


def by_turns(name: str, strategy: str, seeds: Sequence[int], changes: Words) -> dict[str, list[Figures]]:
    """One arm after another for each seed, so that what else the machine does falls on all."""
    found: dict[str, list[Figures]] = {arm: [] for arm in ARMS}
    with TemporaryDirectory() as folder:
        for seed in seeds:
            for arm, begin in ARMS.items():
                place = Path(folder) / f"{arm.replace(' ', '-')}-{seed}"
                words, figures = begin(name, strategy, seed, place, changes)
                found[arm].append({"seed": seed, **measured(words, figures, empty_cache(place))})
                print(name, strategy, arm, found[arm][-1], flush=True)
    return found
