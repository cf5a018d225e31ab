"""Summarize runs of several arms: medians, ranges and ratios."""

from __future__ import annotations

import statistics
from collections.abc import Iterable
from typing import Any

from bench.trainer.contestants import TLPLUG, TRAINER
from bench.trainer.measurements import MEASUREMENTS

COMPARED = ("train_seconds", "train_cpu_seconds", "process_seconds", "process_cpu_seconds", "peak_memory_mb")
"""The costs that have ratios."""
COSTS = (*COMPARED, "trainable_parameters")
Runs = list[dict[str, Any]]


def summarize(arms: dict[str, Runs], scores: Iterable[str]) -> dict[str, Any]:
    """Return for each arm `median`, `min` and `max` of its figures over the seeds, and paired `ratios` to tlplug.

    A figure that an arm does not have is omitted.
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
