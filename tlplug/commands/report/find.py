"""Finds runs in folders and reads of each what a comparison needs."""

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
"""Keys of a config that name a run or say what it records, and do not change what is trained."""


class Unusable(Exception):
    """Why a folder cannot be part of a comparison."""


@dataclass(frozen=True)
class Run:
    """A finished run."""

    folder: Path
    result: Mapping[str, Any]
    settings: Mapping[str, Any]
    """What it was trained with, by key; its seed is none of it."""
    ids: np.ndarray
    """int64 [n], in ascending order."""
    targets: Sequence[Any]
    scores: np.ndarray
    """float64 [n], of the test rows in the order of `ids`; their mean is the primary score."""
    scratch: np.ndarray | None
    """The same of the run's own baseline that was trained from scratch."""
    digest: str
    """Of result.json, which holds measured seconds: no two runs share it."""

    @property
    def seed(self) -> int:
        return int(self.result["seed"])

    @cached_property
    def tested_on(self) -> str:
        """The same for the same test rows with the same targets."""
        return sha256(
            json.dumps([self.ids.tolist(), list(self.targets)], sort_keys=True).encode()
        ).hexdigest()


@dataclass(frozen=True)
class ExcludedRun:
    """A folder that was found and is no part of the comparison."""

    folder: Path
    reason: str


def find(places: Sequence[Path]) -> tuple[list[Run], list[ExcludedRun]]:
    """The runs in these folders, each once, and what had to be left out.

    Raises:
        UsageError: a place that is no folder, or has no run in it.
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
    """Run directories in and below the places, one that is met twice once."""
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
    """Whether a run was begun there; a comparison of strategies leaves a config too, but it has no seed of its own."""
    if (folder / RESULT).is_file():
        return True
    try:
        return {"seed", "strategy"} <= set(config_of(folder))
    except Unusable:
        return True


def runs_below(place: Path) -> Iterator[Path]:
    """Run directories by their numbers and names; nothing is searched inside one."""
    for root, names, _ in os.walk(place):
        if is_run(Path(root)):
            names.clear()
            yield Path(root)
        names[:] = sorted((name for name in names if not name.startswith(".")), key=numbers_first)


def numbers_first(name: str) -> list[tuple[int, str]]:
    return [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"(\d+)", name) if part]


def read(folder: Path) -> Run:
    """One run.

    Raises:
        Unusable: it is not finished, of another version, or damaged.
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
    """All keys that can change what is trained; without a config.yaml the strategy's own."""
    config = config_of(folder)
    config["strategy"] = {**(config.get("strategy") or {}), **result["strategy_config"]}
    flat = dict(flattened(config))
    return {
        key: value
        for key, value in flat.items()
        if not {key, key.partition(".")[0]} & NO_SETTING and value is not None
    }


def config_of(folder: Path) -> dict[str, Any]:
    """config.yaml; nothing where there is none."""
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
