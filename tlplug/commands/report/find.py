"""Find runs in folders, and read the data of each that a comparison needs."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np

from tlplug.errors import UsageError
from tlplug.evaluation import evidence
from tlplug.runs.directory import CONFIG, RESULT
from tlplug.runs.result import VERSION

AFTER, BASELINE = "example_scores/after", "example_scores/baseline/"
NEEDED = (
    *(
        "task",
        "strategy",
        "strategy_config",
        "head",
        "base_model",
        "seed",
        "primary_score",
        "higher_is_better",
    ),
    *("display_scale", "scratch_baseline", "scores", "metrics", "metric_facts", "cost"),
)
NO_SETTING = {
    *(
        "seed",
        "task",
        "run_dir",
        "resume",
        "logger",
        "metric",
        "transfer.baselines",
        "evidence",
        "checkpoint",
    ),
    *("strategy.name", "strategy.preset", "model.source", "model.sha256", "model.install", "model.license"),
    "data.num_workers",
}
"""Keys of a config that do not affect training, such as the name of a run and what it records."""


class Unusable(Exception):
    """Raised where a folder cannot be part of a comparison; the message is the reason."""


@dataclass(frozen=True)
class Run:
    """A finished run."""

    folder: Path
    result: Mapping[str, Any]
    settings: Mapping[str, Any]
    """Key -> value of the settings that affect training, without the seed."""
    ids: np.ndarray
    """The ids of the test rows, int64 [n], in ascending order."""
    targets: Sequence[Any]
    scores: np.ndarray
    """Scores of the test rows in the order of `ids`, float64 [n]; their mean is the primary score."""
    scratch: np.ndarray | None
    """Scores of the run's own scratch baseline in the same order; None without that baseline."""
    digest: str
    """SHA-256 of result.json; it differs between any two runs, as the file contains measured times."""

    @property
    def seed(self) -> int:
        return int(self.result["seed"])

    @cached_property
    def tested_on(self) -> str:
        """A hash of the ids and targets of the test rows."""
        return sha256(
            json.dumps([self.ids.tolist(), list(self.targets)], sort_keys=True).encode()
        ).hexdigest()


@dataclass(frozen=True)
class ExcludedRun:
    """A folder that is not part of the comparison, and the reason."""

    folder: Path
    reason: str


def find(places: Sequence[Path]) -> tuple[list[Run], list[ExcludedRun]]:
    """Return the runs in and below the folders, without copies, and the runs that were excluded.

    Raises:
        UsageError: a place is not a folder, or contains no run.
    """
    runs: list[Run] = []
    excluded: list[ExcludedRun] = []
    for folder in folders_of(places):
        try:
            run = read(folder)
        except Unusable as reason:
            excluded.append(ExcludedRun(folder, str(reason)))
            continue
        twin = next((other.folder for other in runs if other.digest == run.digest), None)
        if twin is None:
            runs.append(run)
        else:
            excluded.append(ExcludedRun(folder, f"it is a copy of {twin}"))
    return runs, excluded


def folders_of(places: Sequence[Path]) -> list[Path]:
    """Return the run directories in and below the places, without duplicates."""
    found: dict[Path, Path] = {}
    for place in places:
        inside = list(runs_below(existing(place)))
        if not inside:
            raise UsageError(f"{place}: there is no run in it (no {RESULT} or {CONFIG} in or below it)")
        for folder in inside:
            found.setdefault(folder.resolve(), folder)
    return list(found.values())


def existing(place: Path) -> Path:
    if not place.exists():
        raise UsageError(f"{place}: there is no such folder")
    if not place.is_dir():
        raise UsageError(f"{place} is a file; name a run's folder, or one with runs below it")
    return place


def is_run(folder: Path) -> bool:
    """Return True if the folder is a run directory.

    It has a result, or a config with a seed and a strategy (that of `compare` has none) or one that cannot be read.
    """
    if (folder / RESULT).is_file():
        return True
    try:
        return {"seed", "strategy"} <= set(config_of(folder))
    except Unusable:
        return True


def runs_below(place: Path) -> Iterator[Path]:
    """Yield the run directories in and below a folder, sorted by numbers and names, without searching inside them."""
    for root, names, _ in os.walk(place):
        if is_run(Path(root)):
            names.clear()
            yield Path(root)
        names[:] = sorted((name for name in names if not name.startswith(".")), key=numbers_first)


def numbers_first(name: str) -> list[tuple[int, str]]:
    return [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"(\d+)", name) if part]


def read(folder: Path) -> Run:
    """Read one run.

    Raises:
        Unusable: the run is not finished, of another version, damaged, or has a single test row.
    """
    if not (folder / RESULT).is_file():
        raise Unusable(f"it is not finished: there is no {RESULT}")
    text = (folder / RESULT).read_bytes()
    result = result_of(text)
    recorded = evidence_of(folder)
    ids, scores = (np.asarray(recorded[name]) for name in ("ids", AFTER))
    if len(ids) < 2:
        raise Unusable("it has one test row, and an interval takes two")
    if scores.shape != ids.shape or len(recorded["targets"]) != len(ids) or not np.isfinite(scores).all():
        raise Unusable("its evidence has no finite score for each test row")
    order = np.argsort(ids, kind="stable")
    scratch = recorded.get(f"{BASELINE}{result['scratch_baseline']}")
    return Run(
        folder,
        result,
        settings_of(folder, result),
        ids[order],
        [recorded["targets"][place] for place in order],
        scores.astype(np.float64)[order],
        None if scratch is None else np.asarray(scratch, np.float64)[order],
        sha256(text).hexdigest(),
    )


def result_of(text: bytes) -> dict[str, Any]:
    try:
        result = json.loads(text)
    except ValueError as error:
        raise Unusable(f"{RESULT} cannot be read: {error}") from error
    version = result.get("version") if isinstance(result, dict) else None
    if version != VERSION:
        raise Unusable(f"{RESULT} is of version {version}; this tlplug reads version {VERSION}")
    if missing := [name for name in NEEDED if name not in result]:
        raise Unusable(f"{RESULT} lacks {', '.join(missing)}")
    return dict(result)


def evidence_of(folder: Path) -> dict[str, Any]:
    from safetensors import SafetensorError

    if not (folder / evidence.FOLDER).is_dir():
        raise Unusable("it has no evidence/, so its test rows cannot be paired with those of others")
    try:
        recorded = evidence.read(folder / evidence.FOLDER)
    except (OSError, ValueError, KeyError, SafetensorError) as error:
        raise Unusable(f"its evidence cannot be read: {error}") from error
    if missing := [name for name in ("ids", "targets", AFTER) if name not in recorded]:
        raise Unusable(f"its evidence lacks {', '.join(missing)}")
    return recorded


def settings_of(folder: Path, result: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings that affect training; those of the strategy alone if there is no config.yaml."""
    config = config_of(folder)
    config["strategy"] = {**(config.get("strategy") or {}), **result["strategy_config"]}
    flat = dict(flattened(config))
    return {
        key: value
        for key, value in flat.items()
        if not {key, key.partition(".")[0]} & NO_SETTING and value is not None
    }


def config_of(folder: Path) -> dict[str, Any]:
    """Return the content of config.yaml, empty if there is none.

    Raises:
        Unusable: the file cannot be read or is not a mapping.
    """
    from yaml import YAMLError, safe_load  # type: ignore[import-untyped]

    if not (folder / CONFIG).is_file():
        return {}
    try:
        found = safe_load((folder / CONFIG).read_text(encoding="utf-8"))
    except (OSError, YAMLError, UnicodeDecodeError) as error:
        raise Unusable(f"{CONFIG} cannot be read: {' '.join(str(error).split())}") from error
    if not isinstance(found, dict):
        raise Unusable(f"{CONFIG} holds no settings")
    return found


def flattened(config: Mapping[str, Any], before: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in config.items():
        if isinstance(value, Mapping):
            yield from flattened(value, f"{before}{key}.")
        else:
            yield f"{before}{key}", value
