"""Runs of several arms -> medians with their spread, and ratios."""

from __future__ import annotations

import statistics
from collections.abc import Iterable
from typing import Any

from bench.trainer.contestants import TLPLUG, TRAINER
from bench.trainer.measurements import MEASUREMENTS

COSTS = (
    *("train_seconds", "train_cpu_seconds", "process_seconds", "process_cpu_seconds"),
    *("peak_memory_mb", "trainable_parameters"),
)
COMPARED = COSTS[:-1]
"""Of which there are ratios."""
Runs = list[dict[str, Any]]


def summary(arms: dict[str, Runs], scores: Iterable[str]) -> dict[str, Any]:
    """Of each arm: `median`, `min` and `max` of its figures over the seeds, and `ratios` to tlplug, pair by pair.

    A figure that an arm does not have is left out.
    """
    return {
        arm: {
            **{name: spread(runs, name) for name in (*scores, *COSTS) if has(runs, name)},
            "ratios": ratios(arms[TLPLUG], runs),
        }
        for arm, runs in arms.items()
    }


def spread(runs: Runs, name: str) -> dict[str, float]:
    values = [run[name] for run in runs]
    return {"median": statistics.median(values), "min": min(values), "max": max(values)}


def ratios(ours: Runs, theirs: Runs) -> dict[str, float]:
    """Medians of another arm's figure over tlplug's: above 1, tlplug is cheaper."""
    pairs = list(zip(ours, theirs, strict=True))
    return {
        cost: statistics.median(b[cost] / a[cost] for a, b in pairs)
        for cost in COMPARED
        if has(ours, cost) and has(theirs, cost)
    }


def has(runs: Runs, name: str) -> bool:
    return all(name in run for run in runs)


def near(name: str, strategy: dict[str, Any]) -> bool:
    """Whether tlplug's median of the first score is as near to the Trainer's as it has to be."""
    measurement, found = MEASUREMENTS[name], strategy["summary"]
    ours, theirs = (found[arm][measurement.scores[0]]["median"] for arm in (TLPLUG, TRAINER))
    return bool(abs(100 * (ours - theirs)) <= measurement.points)
