"""Record how each matrix of the base model changed."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from tlplug.evaluation.evidence import Kept
from tlplug.interfaces import LowRankUpdate, Strategy, TaskHead, TransferMetric, WeightChange
from tlplug.models.layers import is_inside, parameter_depths, transformer_blocks

if TYPE_CHECKING:
    import torch
    from torch import nn


class Aside(Mapping[str, "torch.Tensor"]):
    """Copies in a temporary file, which is gone with the process; each is read when it is asked for.

    In memory they would stand beside a training, which may need all of it.
    """

    def __init__(self, tensors: Iterable[tuple[str, torch.Tensor]]) -> None:
        import torch

        self._file = tempfile.TemporaryFile()  # noqa: SIM115 (it lives as long as this)
        self._places: dict[str, tuple[int, torch.dtype, torch.Size]] = {}
        for name, value in tensors:
            plain = value.detach().cpu().contiguous()
            self._places[name] = self._file.tell(), plain.dtype, plain.shape
            self._file.write(plain.flatten().view(torch.uint8).numpy().data)

    def __getitem__(self, name: str) -> torch.Tensor:
        import torch

        at, dtype, shape = self._places[name]
        self._file.seek(at)
        found = bytearray(self._file.read(shape.numel() * dtype.itemsize))
        return torch.frombuffer(found, dtype=dtype).view(shape)

    def __iter__(self) -> Iterator[str]:
        return iter(self._places)

    def __len__(self) -> int:
        return len(self._places)


def matrices_of(model: nn.Module, head: TaskHead) -> dict[str, int | None]:
    """The matrices of a bare base model by name -> the layer that each lies in; the head's are left out."""
    names = [name for name, value in model.named_parameters() if value.ndim == 2 and _own(name, value, head)]
    try:
        depth, top = parameter_depths(model), len(transformer_blocks(model))
    except ValueError:
        return dict.fromkeys(names)
    return {name: depth[name] if depth[name] <= top else None for name in names}


def _own(name: str, value: nn.Parameter, head: TaskHead) -> bool:
    """Whether the base model's files have it; a quantized matrix is a column of bytes, [n, 1]."""
    return not getattr(value, "is_new", False) and not is_inside(name, list(head.head_modules))


def _copies(found: LowRankUpdate) -> tuple[torch.Tensor, torch.Tensor]:
    left, right = (factor.detach().to("cpu", copy=True) for factor in (found.left, found.right))
    return left, right


def low_rank_change(
    name: str, layer: int | None, found: LowRankUpdate, start: tuple[torch.Tensor, torch.Tensor] | None
) -> WeightChange:
    """weight + s B A - (weight + s B0 A0) = s [B, -B0] [A; A0], the second part where it started from one."""
    left, right = found.scale * array(found.left), array(found.right)
    before = array(found.weight())
    if start is not None and start[0].any() and start[1].any():
        left0, right0 = found.scale * array(start[0]), array(start[1])
        before = before + left0 @ right0
        left, right = np.hstack([left, -left0]), np.vstack([right, right0])
    return WeightChange(name, layer, before, before + left @ right, (left, right))


def array(value: torch.Tensor) -> np.ndarray:
    found: np.ndarray = value.detach().float().cpu().numpy()
    return found


UNMOVED = "no matrix of the base model moved whose change could be told"


@dataclass
class WeightChangeRecorder:
    """Record `weights/<metric>` for each of the metrics that ask; where none does, nothing is copied."""

    strategy: Strategy
    metrics: Mapping[str, TransferMetric]
    kept: Kept
    _layers: dict[str, int | None] = field(default_factory=dict)
    _before: Mapping[str, torch.Tensor] | None = None
    """Copies of the matrices that may change whole; None: none have been made."""
    _factors: dict[str, tuple[torch.Tensor, torch.Tensor]] = field(default_factory=dict)

    @property
    def names(self) -> list[str]:
        return [f"weights/{name}" for name in self.metrics]

    def find_layers(self, bare: nn.Module, head: TaskHead) -> None:
        """Note the layer of each matrix of the bare base model."""
        if self.metrics:
            with self.kept.reported(*self.names):
                self._layers = matrices_of(bare, head)

    def start(self, model: nn.Module, adapted: bool = True) -> None:
        """Copy what is trainable, or may become it in the course of a training, before the first step.

        Args:
            adapted: False for the bare base model of a finished run, over which what was trained is loaded next.
        """
        if not self.metrics:
            return
        with self.kept.reported(*self.names):
            updates = self.strategy.low_rank_updates(model) if adapted else {}
            self._factors = {name: _copies(update) for name, update in updates.items()}
            every = not adapted or self.strategy.capabilities.changes_trainable_weights
            self._before = Aside(
                (name, value)
                for name, value in model.named_parameters()
                if name in self._layers and (value.requires_grad or every)
            )

    def record(self, model: nn.Module) -> None:
        """Ask the metrics of each matrix that training changed; one metric's fault is none of the others'."""
        if self._before is None:
            return
        values: dict[str, dict[str, Any]] = {name: {} for name in self.metrics}
        with self.kept.reported(*self.names):
            for change in self.changes(model):
                for name, metric in self.metrics.items():
                    with self.kept.reported(f"weights/{name}"):
                        numbers = {key: float(value) for key, value in metric.weight_change(change).items()}
                        values[name][change.name] = {"layer": change.layer, **numbers}
            self._keep(values)

    def changes(self, model: nn.Module) -> Iterator[WeightChange]:
        """Yield the change of each matrix that differs from its copy, and of those with a low-rank update."""
        now = dict(model.named_parameters())
        for name, value in (self._before or {}).items():
            before, after = array(value), array(now[name]) if name in now else None
            if after is not None and not np.array_equal(before, after):
                yield WeightChange(name, self._layers[name], before, after)
        for name, update in self.strategy.low_rank_updates(model).items():
            yield low_rank_change(name, self._layers.get(name), update, self._factors.get(name))

    def _keep(self, values: Mapping[str, Mapping[str, Any]]) -> None:
        for name, changes in values.items():
            if not changes:
                self.kept.reasons.setdefault(f"weights/{name}", UNMOVED)
            elif f"weights/{name}" not in self.kept.reasons:
                self.kept.evidence[f"weights/{name}"] = changes
