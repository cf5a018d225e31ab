"""Outcomes of a run and of its baselines -> evidence by name."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import numpy as np

from tlplug.contracts import Outcome, Rows, TaskHead

AFTER, BEFORE, BASELINE = "after", "before", "baseline"


def collect(
    run: Outcome,
    baselines: Mapping[str, Outcome],
    head: TaskHead,
    rows: Rows,
    untrained: Collection[str] = (),
) -> dict[str, Any]:
    """What is known of the test rows, of the validations while training and of the costs.

    `primary`, `higher_is_better`, `scale`, `labels`: of the head. `ids` int64 [n] and `targets`, a dict each: of the n
    test rows. `example_scores/after` and `example_scores/baseline/<name>`: float64 [n]; `predictions/after`,
    `predictions/baseline/<name>`: what the head decoded. `curve/after`, `curve/baseline/<name>`: float64 [k, 2], training
    examples seen and the primary score on the validation rows. `cost`, `cost/baseline/<name>`.
    `predictions/before`, `example_scores/before`: of the base model as it is, where a baseline shows it.

    Args:
        rows: the test rows.
        untrained: names of the baselines that train nothing.
    """
    of_row = {row["id"]: row for row in rows}
    ids = [prediction["id"] for prediction in run.predictions]
    evidence: dict[str, Any] = {
        "primary": head.primary,
        "higher_is_better": head.higher_is_better,
        "scale": head.scale,
        "labels": list(head.labels),
        "ids": np.array(ids, np.int64),
        "targets": [{name: of_row[number].get(name) for name in head.targets} for number in ids],
        **told(run, AFTER),
        "cost": run.cost,
    }
    for name, outcome in baselines.items():
        evidence |= told(outcome, f"{BASELINE}/{name}")
        evidence[f"cost/{BASELINE}/{name}"] = outcome.cost
        if name in untrained:
            evidence |= told(outcome, BEFORE)
    return evidence


def told(outcome: Outcome, name: str) -> dict[str, Any]:
    found: dict[str, Any] = {
        f"example_scores/{name}": np.array(outcome.example_scores, np.float64),
        f"predictions/{name}": outcome.predictions,
    }
    if outcome.curve:
        found[f"curve/{name}"] = np.array(outcome.curve, np.float64)
    return found
