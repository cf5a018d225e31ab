"""Compute the features of a bare base model in one forward pass, and cache them by a hash of all their inputs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tlplug.commands.rank.candidates import Candidate, Shown
from tlplug.data.feature_keys import key_of
from tlplug.evaluation.layer_features import (
    BATCH_SIZE,
    evaluation_mode,
    group_by_length,
    layer_features,
    map_batches,
)
from tlplug.evaluation.probabilities import source_probabilities, why_no_classifier
from tlplug.evaluation.probes import TASK, RecordedRows
from tlplug.interfaces import LoadOptions
from tlplug.models.layers import new_blocks
from tlplug.models.precision import resolve_precision, to_device
from tlplug.runtime import cache

if TYPE_CHECKING:
    import torch
    from torch import nn

KIND = "rank"
LIBRARIES = ("tlplug", "torch", "transformers")
FEATURES, PROBABILITIES = "features", "source_probabilities"
PARAMETERS, LAYERS, REASON = "parameters", "layers", "reason"

Arrays = dict[str, np.ndarray]
Telling = Callable[[int], None]
"""Called with the number of rows processed since the last call."""


@dataclass(frozen=True)
class Look:
    """The features of the rows from one model, and the size of the model."""

    key: str
    parameters: int
    """The number of parameters of the base model, without a new head."""
    layers: int
    """The number of blocks, L."""
    reason: str
    """Why there are no source probabilities; empty if there are."""
    arrays: Callable[[], Arrays]
    """Returns `features` float32 [L + 1, p, D], and with a classifier `source_probabilities` float64 [p, Z]."""
    kept: bool
    """True if the features were read from the cache."""


def look(candidate: Candidate, shown: Shown, telling: Telling) -> Look:
    """Read the features of a model from the cache, or compute and cache them; nothing is cached on an error."""
    device, precision = place(candidate)
    key = features_key(candidate, shown, device, precision)
    path = cache.cache_folder() / KIND / f"{key}.safetensors"
    facts = cache.load_file(path, read_facts)
    if facts is not None:
        return made(key, facts, partial(read_arrays, path), kept=True)
    facts, arrays = computed(candidate, shown, device, precision, telling)
    cache.save_file(path, partial(write_look, facts, arrays))
    return made(key, facts, lambda: arrays, kept=False)


def made(key: str, facts: Mapping[str, str], arrays: Callable[[], Arrays], kept: bool) -> Look:
    return Look(key, int(facts[PARAMETERS]), int(facts[LAYERS]), facts[REASON], arrays, kept)


def place(candidate: Candidate) -> tuple[torch.device, str]:
    """Return the device and the precision of the forward pass, by the trainer's settings."""
    import torch

    settings, base = candidate.job.trainer, candidate.base
    gpu = settings.accelerator in ("auto", "gpu", "cuda") and torch.cuda.is_available()
    precision = resolve_precision(settings.precision, settings.accelerator, base.dtype)
    return torch.device("cuda" if gpu else "cpu"), precision


def features_key(candidate: Candidate, shown: Shown, device: torch.device, precision: str) -> str:
    base = candidate.base
    return cache.key_of(
        {
            "base": [base.fingerprint, base.dtype, base.attention, base.max_length],
            "rows": key_of(shown.head, shown.rows, base, False),
            "computed": [device.type, precision],
            "libraries": {name: version(name) for name in LIBRARIES},
        }
    )


def computed(
    candidate: Candidate, shown: Shown, device: torch.device, precision: str, telling: Telling
) -> tuple[dict[str, str], Arrays]:
    """Load the model; return its facts as text, and the arrays of features and source probabilities."""
    encoded = RecordedRows(TASK, shown.rows).features(shown.head, candidate.base)
    facts, features = looked_at(candidate, shown, encoded, device, precision, telling)
    try:
        found = probabilities(candidate, shown, encoded, device)
    except ValueError as reason:
        return {**facts, REASON: str(reason)}, {FEATURES: features}
    return {**facts, REASON: ""}, {FEATURES: features, PROBABILITIES: found}


def looked_at(
    candidate: Candidate,
    shown: Shown,
    encoded: list[dict[str, Any]],
    device: torch.device,
    precision: str,
    telling: Telling,
) -> tuple[dict[str, str], np.ndarray]:
    """Load the model; return its numbers of parameters and layers as text, and its features, [L + 1, p, D].

    Raises:
        ValueError: the files lack weights of the model, or the features are not finite.
    """
    head, base = shown.head, candidate.base
    model = head.load_model(base, LoadOptions())
    expect_whole(model)

    def features(some: list[dict[str, Any]]) -> np.ndarray:
        found = layer_features(model, head, base, [to_device(head.collate(some, base), device)])
        telling(len(some))
        return found

    with evaluation_mode(model, device, precision):
        found = map_batches(head, encoded, BATCH_SIZE, features, axis=1)
    if not np.isfinite(found).all():
        raise ValueError(f"what {base.source} makes of the rows is not finite")
    return {PARAMETERS: str(parameters(model)), LAYERS: str(len(found) - 1)}, found


def expect_whole(model: nn.Module) -> None:
    """Raise an error if the files lack weights of a block, which would be ranked with random values."""
    if absent := new_blocks(model):
        raise ValueError(f"its files have no {absent[0]} ({len(absent)} weights are missing)")


def parameters(model: nn.Module) -> int:
    return sum(p.numel() for p in model.parameters() if not getattr(p, "is_new", False))


def probabilities(
    candidate: Candidate, shown: Shown, encoded: list[dict[str, Any]], device: torch.device
) -> np.ndarray:
    """Return the class probabilities of the base model's own classifier, [p, Z].

    Raises:
        ValueError: the base model has no classifier.
    """
    base = candidate.base
    if reason := why_no_classifier(base):
        raise ValueError(reason)
    parts, back = group_by_length(shown.head, encoded, BATCH_SIZE)
    batches = [shown.head.collate(part, base) for part in parts]
    found: np.ndarray = source_probabilities(shown.head, base, batches, device)[back]
    return found


def read_facts(path: Path) -> dict[str, str]:
    """Return the metadata of a cached file.

    Raises:
        ValueError: the file is damaged.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, "np") as file:
            return dict(file.metadata())
    except SafetensorError as error:
        raise ValueError(str(error)) from error


def read_arrays(path: Path) -> Arrays:
    from safetensors.numpy import load_file

    return dict(load_file(path))


def write_look(facts: dict[str, str], arrays: Arrays, path: Path) -> None:
    from safetensors import SafetensorError
    from safetensors.numpy import save_file

    try:
        save_file({name: np.ascontiguousarray(each) for name, each in arrays.items()}, path, facts)
    except SafetensorError as error:  # a full disk raises it as well
        raise OSError(str(error)) from error
