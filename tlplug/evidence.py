"""What a run records so that metrics can be computed, now or later, without the model."""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from tlplug.contracts import Evidence, NotMeasured, Outcome, TransferMetric

VERSION = 1
INDEX, ARRAYS = "index.json", "arrays.safetensors"

log = logging.getLogger(__name__)


def collect(run: Outcome, baselines: Mapping[str, Outcome], higher_is_better: bool = True) -> dict[str, Any]:
    """Evidence by name.

    `example_scores/after` and `example_scores/baseline/<name>`: float64 [n], one a test example, by `ids` [n];
    `predictions/after`, `predictions/baseline/<name>`: what the head decoded; `cost`: the cost record;
    `higher_is_better`: the direction of the primary score.
    """
    evidence: dict[str, Any] = {
        "ids": np.array([prediction["id"] for prediction in run.predictions], np.int64),
        "example_scores/after": np.array(run.example_scores, np.float64),
        "predictions/after": run.predictions,
        "cost": run.cost,
        "higher_is_better": higher_is_better,
    }
    for name, outcome in baselines.items():
        evidence[f"example_scores/baseline/{name}"] = np.array(outcome.example_scores, np.float64)
        evidence[f"predictions/baseline/{name}"] = outcome.predictions
    return evidence


def write(evidence: Evidence, folder: Path) -> None:
    """Arrays into one safetensors file, the rest as JSON, and an index of both."""
    from safetensors.numpy import save_file

    folder.mkdir(parents=True)
    arrays = {name: value for name, value in evidence.items() if isinstance(value, np.ndarray)}
    save_file(arrays, folder / ARRAYS)
    entries = dict.fromkeys(arrays, ARRAYS)
    for name, value in evidence.items():
        if name not in arrays:
            entries[name] = f"{name.replace('/', '.')}.json"
            (folder / entries[name]).write_text(json.dumps(value) + "\n", encoding="utf-8")
    index = {"version": VERSION, "entries": dict(sorted(entries.items()))}
    (folder / INDEX).write_text(json.dumps(index, indent=2) + "\n", encoding="utf-8")


def read(folder: Path) -> dict[str, Any]:
    """What `write` wrote.

    Raises:
        ValueError: the folder was written in another version of the format.
    """
    from safetensors.numpy import load_file

    index = json.loads((folder / INDEX).read_text(encoding="utf-8"))
    if index["version"] != VERSION:
        raise ValueError(
            f"{folder / INDEX}: evidence version {index['version']}; this tlplug reads {VERSION}"
        )
    arrays = load_file(folder / ARRAYS)
    return {
        name: arrays[name] if file == ARRAYS else json.loads((folder / file).read_text(encoding="utf-8"))
        for name, file in index["entries"].items()
    }


def measure(metrics: Mapping[str, TransferMetric], evidence: Evidence) -> dict[str, dict[str, Any]]:
    """Each metric's values; `{"not_measured": why}` in place of what cannot be measured."""
    return {name: measure_one(name, metric, evidence) for name, metric in metrics.items()}


def measure_one(name: str, metric: TransferMetric, evidence: Evidence) -> dict[str, Any]:
    missing = sorted(need for need in metric.needs if evidence.get(need) is None)
    if missing:
        return {"not_measured": f"no evidence of {', '.join(missing)}"}
    try:
        values = metric.measure(evidence)
    except NotMeasured as reason:
        return {"not_measured": str(reason)}
    except Exception as error:
        # A metric comes after hours of training; its fault must not cost the run's result.
        log.exception("metric %s failed", name)
        return {"not_measured": f"it failed: {type(error).__name__}: {error}"}
    return {
        key: float(value) if math.isfinite(value) else {"not_measured": f"it is {value}"}
        for key, value in values.items()
    }
