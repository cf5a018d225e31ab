"""What a frozen part gave, memory-mapped, in the place of the part."""

from __future__ import annotations

import json
import logging
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from tlplug.data.features import Features
from tlplug.interfaces import Batch, FrozenPrefix

STATES, SPANS, FORM = "states.bin", "spans.npy", "form.json"

log = logging.getLogger(__name__)


def intact(folder: Path) -> bool:
    """Whether the folder holds all that it says; what is damaged is reported and removed."""
    if not (folder / FORM).is_file():
        return False
    form = json.loads((folder / FORM).read_text(encoding="utf-8"))
    if (folder / STATES).stat().st_size == form["bytes"]:
        return True
    log.warning("%s is damaged; it is made again", folder)
    shutil.rmtree(folder)
    return False


@dataclass(frozen=True)
class Kept:
    """The prefix's output for each feature of one split."""

    states: torch.Tensor
    """[rows, D], memory-mapped."""
    spans: np.ndarray
    """Where each feature's rows begin and end, [features, 2]."""
    dimensions: int
    """3: a row for each real token; 2: one for each feature."""
    names: np.ndarray
    """The features' ids and parts as one sortable number, [features], sorted."""
    places: np.ndarray
    """The positions that these have."""
    parts: int
    rest: int
    """Empty places after the state in what the prefix's modules give; -1 where that is no tuple."""

    @classmethod
    def opened(cls, folder: Path, features: Features) -> Kept:
        form = json.loads((folder / FORM).read_text(encoding="utf-8"))
        spans = np.load(folder / SPANS)
        width = form["width"]
        states = torch.from_file(
            str(folder / STATES), size=int(spans.max(initial=0)) * width, dtype=getattr(torch, form["dtype"])
        ).view(-1, width)
        identities, numbers = features.identities()
        parts = int(numbers.max(initial=0)) + 1
        names = identities * parts + numbers
        places = np.argsort(names, kind="stable")
        return cls(states, spans, form["dimensions"], names[places], places, parts, form["rest"])

    def of(self, batch: Batch) -> torch.Tensor:
        """The prefix's output for a batch, [B, T, D] or [B, D], on the batch's device; zeros where there is padding."""
        mask = batch["attention_mask"]
        identities = batch["id"].cpu().numpy()
        numbers = batch["part"].cpu().numpy() if "part" in batch else np.zeros_like(identities)
        places = self.places[np.searchsorted(self.names, identities * self.parts + numbers)]
        if self.dimensions == 2:
            return self.states[torch.from_numpy(self.spans[places, 0])].to(mask.device)
        rows = torch.cat([self.states[begin:end] for begin, end in self.spans[places]])
        padded = rows.new_zeros(*mask.shape, rows.shape[-1], device=mask.device)
        padded[mask.bool()] = rows.to(mask.device)
        return padded


class Recall:
    """Has what is kept in the place of the prefix while one batch goes through the model."""

    def __init__(self, prefix: FrozenPrefix, kept: dict[str, Kept]) -> None:
        self.kept = kept
        self.now: Any = None
        for module in prefix.cacheable:
            self._replace(module)

    @contextmanager
    def of(self, split: str, batch: Batch) -> Iterator[None]:
        kept = self.kept[split]
        state = kept.of(batch)
        self.now = state if kept.rest < 0 else (state, *[None] * kept.rest)
        try:
            yield
        finally:
            self.now = None

    def _replace(self, module: nn.Module) -> None:
        compute: Callable[..., Any] = module.forward

        def forward(*given: Any, **named: Any) -> Any:
            return compute(*given, **named) if self.now is None else self.now

        module.forward = forward
