"""result.json, version 1."""

from __future__ import annotations

import platform
from collections.abc import Iterable, Mapping
from importlib.metadata import version
from typing import Any

from tlplug.evaluation.statistics import Comparison
from tlplug.evaluation.verdict import Verdict
from tlplug.interfaces import Outcome
from tlplug.interfaces.registry import told_of

VERSION = 1
RUN = "run"
"""The run's own name beside those of its baselines."""
LIBRARIES = (
    "tlplug",
    "torch",
    "lightning",
    "transformers",
    "peft",
    "bitsandbytes",
    "torchmetrics",
    "datasets",
)


def make_result(
    names: Mapping[str, Any],
    run: Outcome,
    baselines: Mapping[str, Outcome],
    comparisons: Mapping[str, Comparison],
    metrics: Mapping[str, Any],
    verdict: Verdict,
    plugins: Iterable[Any],
) -> dict[str, Any]:
    """All of one run's figures.

    Args:
        names: `task`, `strategy`, `seed`, `primary` and what else identifies the run; they come first.
        comparisons: the run against each baseline on the primary score.
        plugins: those that were used, with `kind`, `name`, `distribution` and `version`.
    """
    return {
        "version": VERSION,
        **names,
        "scores": run.scores,
        "baselines": {name: outcome.scores for name, outcome in baselines.items()},
        "comparisons": {name: vars(comparison) for name, comparison in comparisons.items()},
        "metrics": metrics,
        "verdict": verdict.as_dict(),
        "cost": run.cost,
        "curve": {RUN: run.curve, **{name: found.curve for name, found in baselines.items() if found.curve}},
        "baseline_cost": {name: outcome.cost for name, outcome in baselines.items()},
        "versions": versions(),
        "plugins": told_of(plugins),
    }


def versions() -> dict[str, str]:
    """Of Python and the libraries."""
    return {"python": platform.python_version(), **{name: version(name) for name in LIBRARIES}}
