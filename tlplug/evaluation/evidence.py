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
"""The folder of the evidence in a run directory."""
VERSION = 1
INDEX, ARRAYS, VALUES = "index.json", "arrays.safetensors", "values.json"
LARGE = ("predictions/",)
"""Prefixes of evidence that has a JSON file of its own."""


def write(evidence: Evidence, folder: Path) -> None:
    """Write evidence into a new folder, completely or not at all."""
    from safetensors.numpy import save_file

    arrays = {
        name: np.ascontiguousarray(value) for name, value in evidence.items() if isinstance(value, np.ndarray)
    }
    values = {name: value for name, value in evidence.items() if name not in arrays}
    files = {name: file_name(name) for name in values}
    index = {"version": VERSION, "entries": dict(sorted({**dict.fromkeys(arrays, ARRAYS), **files}.items()))}
    with atomic_cache_folder(folder) as temporary:
        save_file(arrays, temporary / ARRAYS)
        for file in set(files.values()):
            write_json(
                temporary / file, {name: value for name, value in values.items() if files[name] == file}
            )
        write_json(temporary / INDEX, index, indent=2)


def file_name(name: str) -> str:
    return f"{name.replace('/', '.')}.json" if name.startswith(LARGE) else VALUES


def write_json(path: Path, value: Mapping[str, Any], indent: int | None = None) -> None:
    path.write_text(json.dumps(value, indent=indent, default=to_json) + "\n", encoding="utf-8")


def to_json(value: Any) -> Any:
    """Convert the numpy numbers and arrays that a plugin may return."""
    if isinstance(value, np.generic | np.ndarray):
        return value.tolist()
    raise TypeError(f"{type(value).__name__} {value!r} is no JSON value")


def read(folder: Path) -> dict[str, Any]:
    """Read evidence from a folder that `write` has written.

    Raises:
        ValueError: the folder has another version of the format, or its index names files outside it.
    """
    from safetensors.numpy import load_file

    index = json.loads((folder / INDEX).read_text(encoding="utf-8"))
    if index["version"] != VERSION:
        raise ValueError(
            f"{folder / INDEX}: evidence version {index['version']}; this tlplug reads {VERSION}"
        )
    values: dict[str, Any] = load_file(folder / ARRAYS)
    for file in set(index["entries"].values()) - {ARRAYS}:
        if Path(file).name != file:
            raise ValueError(f"{folder / INDEX} names {file}, which does not lie beside it")
        values |= json.loads((folder / file).read_text(encoding="utf-8"))
    return {name: values[name] for name in index["entries"]}


PROBABILITIES = "source_probabilities"
FAILED = "it could not be recorded"
"""The start of a reason that another attempt may remove."""

log = logging.getLogger(__name__)


@dataclass
class EvidenceBuffer:
    """The evidence recorded so far."""

    reasons: dict[str, str] = field(default_factory=dict)
    """Reasons for missing evidence, by its name."""
    evidence: dict[str, Any] = field(default_factory=dict)

    @contextmanager
    def capture_errors(self, *names: str) -> Iterator[None]:
        """Record an error as the reason why the named evidence is missing."""
        try:
            yield
        except Exception as error:
            # An error while recording must not end a long training run.
            log.exception("%s could not be recorded", ", ".join(names))
            self.reasons |= dict.fromkeys(names, f"{FAILED}: {type(error).__name__}: {error}")


def is_about_rows(name: str) -> bool:
    """Return whether evidence depends on the recorded rows, not on the test rows or the weights."""
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
    """Return the evidence of the test rows, of the validations during training and of the costs.

    `primary_score`, `higher_is_better`, `display_scale`, `labels`: of the head. `ids` int64 [n] and `targets`, a dict
    each: of the n test rows. `example_scores/after` and `example_scores/baseline/<name>`: float64 [n]; `predictions/after`,
    `predictions/baseline/<name>`: decoded by the head. `curve/after`, `curve/baseline/<name>`: float64 [k, 2], training
    examples seen and the primary score on the validation rows. `cost`, `cost/baseline/<name>`.
    `predictions/before`, `example_scores/before`: of the unadapted base model, where a baseline measures it.

    Args:
        rows: the test rows.
        untrained: names of the baselines that train nothing.
    """
    rows_by_id = {row["id"]: row for row in rows}
    ids = [prediction["id"] for prediction in run.predictions]
    evidence: dict[str, Any] = {
        "primary_score": head.primary_score,
        "higher_is_better": head.higher_is_better,
        "display_scale": head.display_scale,
        "labels": list(head.labels),
        "ids": np.array(ids, np.int64),
        "targets": [{name: rows_by_id[number].get(name) for name in head.targets} for number in ids],
        **outcome_evidence(run, AFTER),
        "cost": run.cost,
    }
    for name, outcome in baselines.items():
        evidence |= outcome_evidence(outcome, f"{BASELINE}/{name}")
        evidence[f"cost/{BASELINE}/{name}"] = outcome.cost
        if name in untrained:
            evidence |= outcome_evidence(outcome, BEFORE)
    return evidence


def outcome_evidence(outcome: Outcome, name: str) -> dict[str, Any]:
    evidence: dict[str, Any] = {
        f"example_scores/{name}": np.array(outcome.example_scores, np.float64),
        f"predictions/{name}": outcome.predictions,
    }
    if outcome.curve:
        evidence[f"curve/{name}"] = np.array(outcome.curve, np.float64)
    return evidence
