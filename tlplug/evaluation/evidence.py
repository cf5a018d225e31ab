"""Collect evidence, write it to a folder and read it back."""

from __future__ import annotations

import json
import logging
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from tlplug.interfaces import Evidence, Outcome, Rows, TaskHead
from tlplug.runtime.files import atomic_cache_folder

FOLDER = "evidence"
"""Where it lies in a run directory."""
VERSION = 1
INDEX, ARRAYS, VALUES = "index.json", "arrays.safetensors", "values.json"
LARGE = ("predictions/",)
"""What has a JSON file of its own."""


def write(evidence: Evidence, folder: Path) -> None:
    """All of it, into a folder that is not there yet; nothing is left where it fails."""
    from safetensors.numpy import save_file

    arrays = {
        name: np.ascontiguousarray(value) for name, value in evidence.items() if isinstance(value, np.ndarray)
    }
    values = {name: value for name, value in evidence.items() if name not in arrays}
    files = {name: file_of(name) for name in values}
    index = {"version": VERSION, "entries": dict(sorted({**dict.fromkeys(arrays, ARRAYS), **files}.items()))}
    with atomic_cache_folder(folder) as beside:
        save_file(arrays, beside / ARRAYS)
        for file in set(files.values()):
            put(beside / file, {name: value for name, value in values.items() if files[name] == file})
        put(beside / INDEX, index, indent=2)


def file_of(name: str) -> str:
    return f"{name.replace('/', '.')}.json" if name.startswith(LARGE) else VALUES


def put(path: Path, value: Mapping[str, Any], indent: int | None = None) -> None:
    path.write_text(json.dumps(value, indent=indent, default=in_json) + "\n", encoding="utf-8")


def in_json(value: Any) -> Any:
    """numpy's numbers, which plugins may hand over, as plain ones."""
    if isinstance(value, np.generic | np.ndarray):
        return value.tolist()
    raise TypeError(f"{type(value).__name__} {value!r} is no JSON value")


def read(folder: Path) -> dict[str, Any]:
    """What `write` wrote.

    Raises:
        ValueError: the folder was written in another version of the format, or names files that are not its own.
    """
    from safetensors.numpy import load_file

    index = json.loads((folder / INDEX).read_text(encoding="utf-8"))
    if index["version"] != VERSION:
        raise ValueError(
            f"{folder / INDEX}: evidence version {index['version']}; this tlplug reads {VERSION}"
        )
    found: dict[str, Any] = load_file(folder / ARRAYS)
    for file in set(index["entries"].values()) - {ARRAYS}:
        if Path(file).name != file:
            raise ValueError(f"{folder / INDEX} names {file}, which does not lie beside it")
        found |= json.loads((folder / file).read_text(encoding="utf-8"))
    return {name: found[name] for name in index["entries"]}


PROBABILITIES = "source_probabilities"
FAILED = "it could not be recorded"
"""How a reason begins that another try may do away with."""

log = logging.getLogger(__name__)


@dataclass
class Kept:
    """What has been recorded."""

    reasons: dict[str, str] = field(default_factory=dict)
    """Evidence that there is not -> why."""
    evidence: dict[str, Any] = field(default_factory=dict)

    @contextmanager
    def reported(self, *names: str) -> Iterator[None]:
        """A failure is a reason."""
        try:
            yield
        except Exception as error:
            # Evidence stands beside hours of training; a fault of it must not cost the run.
            log.exception("%s could not be recorded", ", ".join(names))
            self.reasons |= dict.fromkeys(names, f"{FAILED}: {type(error).__name__}: {error}")


def of_rows(name: str) -> bool:
    """Whether evidence is of the rows that the model was looked at with, not of the test or of the weights."""
    kind, _, rest = name.partition("/")
    if kind == "predictions":
        return "/" in rest and not rest.startswith(f"{BASELINE}/")
    return kind in ("features", "nll", "scores", "classes", PROBABILITIES)


AFTER, BEFORE, BASELINE = "after", "before", "baseline"


def collect(
    run: Outcome,
    baselines: Mapping[str, Outcome],
    head: TaskHead,
    rows: Rows,
    untrained: Collection[str] = (),
) -> dict[str, Any]:
    """What is known of the test rows, of the validations while training and of the costs.

    `primary_score`, `higher_is_better`, `display_scale`, `labels`: of the head. `ids` int64 [n] and `targets`, a dict
    each: of the n test rows. `example_scores/after` and `example_scores/baseline/<name>`: float64 [n]; `predictions/after`,
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
        "primary_score": head.primary_score,
        "higher_is_better": head.higher_is_better,
        "display_scale": head.display_scale,
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
