"""Replace a frozen prefix by its stored output, which is memory-mapped."""

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
    """Return whether the folder is complete; a damaged one is reported and removed."""
    if not (folder / FORM).is_file():
        return False
    form = json.loads((folder / FORM).read_text(encoding="utf-8"))
    if (folder / STATES).stat().st_size == form["bytes"]:
        return True
    log.warning("%s is damaged and is computed again", folder)
    shutil.rmtree(folder)
    return False


@dataclass(frozen=True)
class PrefixStates:
    """The prefix's output for each feature of one split."""

    states: torch.Tensor
    """[rows, width], memory-mapped."""
    spans: np.ndarray
    """Where each feature's rows begin and end, [features, 2]."""
    shape: tuple[int, ...] | None
    """The shape of a feature's only row before it was flattened; None: one row for each position in `mask`."""
    names: np.ndarray
    """The features' ids and parts as one sortable number, [features], sorted."""
    places: np.ndarray
    """The positions of `names` before sorting."""
    parts: int
    rest: int
    """The number of Nones after the state in the modules' output; -1 where it is a tensor."""
    mask: Callable[[Batch], torch.Tensor | None]
    """The head's."""

    @classmethod
    def open(
        cls, folder: Path, features: Features, mask: Callable[[Batch], torch.Tensor | None]
    ) -> PrefixStates:
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
        shape = None if form["shape"] is None else tuple(form["shape"])
        return cls(states, spans, shape, names[places], places, parts, form["rest"], mask)

    def of(self, batch: Batch) -> torch.Tensor:
        """Return the prefix's output for a batch on the batch's device, with zeros for padding."""
        identities = batch["id"].cpu().numpy()
        numbers = batch["part"].cpu().numpy() if "part" in batch else np.zeros_like(identities)
        places = self.places[np.searchsorted(self.names, identities * self.parts + numbers)]
        if self.shape is not None:
            chosen = self.states[torch.from_numpy(self.spans[places, 0])]
            return chosen.view(len(chosen), *self.shape).to(batch["id"].device)
        mask = self.mask(batch)
        assert mask is not None, "the head gave a mask when the states were computed"
        rows = torch.cat([self.states[begin:end] for begin, end in self.spans[places]])
        padded = rows.new_zeros(*mask.shape, rows.shape[-1], device=mask.device)
        padded[mask.bool()] = rows.to(mask.device)
        return padded


class Recall:
    """Returns the stored states from the prefix's modules during the forward pass of a batch."""

    def __init__(self, prefix: FrozenPrefix, states: dict[str, PrefixStates]) -> None:
        self.states = states
        self.output: Any = None
        for module in prefix.cacheable:
            self._replace(module)

    @contextmanager
    def of(self, split: str, batch: Batch) -> Iterator[None]:
        states = self.states[split]
        state = states.of(batch)
        self.output = state if states.rest < 0 else (state, *[None] * states.rest)
        try:
            yield
        finally:
            self.output = None

    def _replace(self, module: nn.Module) -> None:
        compute: Callable[..., Any] = module.forward

        def forward(*args: Any, **kwargs: Any) -> Any:
            return compute(*args, **kwargs) if self.output is None else self.output

        module.forward = forward
