"""Record how each matrix of the base model changed."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from tlplug.evaluation.evidence import EvidenceBuffer
from tlplug.interfaces import LowRankUpdate, Strategy, TaskHead, TransferMetric, WeightChange
from tlplug.models.layers import is_inside, parameter_depths, transformer_blocks

if TYPE_CHECKING:
    import torch
    from torch import nn


class DiskTensors(Mapping[str, "torch.Tensor"]):
    """Copies of tensors in a temporary file, read when accessed, so that training has all memory."""

    def __init__(self, tensors: Iterable[tuple[str, torch.Tensor]]) -> None:
        import torch

        self._file = tempfile.TemporaryFile()  # noqa: SIM115 (closed with this object)
        self._places: dict[str, tuple[int, torch.dtype, torch.Size]] = {}
        for name, value in tensors:
            tensor = value.detach().cpu().contiguous()
            self._places[name] = self._file.tell(), tensor.dtype, tensor.shape
            self._file.write(tensor.flatten().view(torch.uint8).numpy().data)

    def __getitem__(self, name: str) -> torch.Tensor:
        import torch

        offset, dtype, shape = self._places[name]
        self._file.seek(offset)
        buffer = bytearray(self._file.read(shape.numel() * dtype.itemsize))
        return torch.frombuffer(buffer, dtype=dtype).view(shape)

    def __iter__(self) -> Iterator[str]:
        return iter(self._places)

    def __len__(self) -> int:
        return len(self._places)


def find_matrices(model: nn.Module, head: TaskHead) -> dict[str, int | None]:
    """Return the layer of each matrix of the unadapted base model, by name, without the head's matrices."""
    names = [
        name
        for name, value in model.named_parameters()
        if value.ndim == 2 and _is_pretrained(name, value, head)
    ]
    try:
        depth, top = parameter_depths(model), len(transformer_blocks(model))
    except ValueError:
        return dict.fromkeys(names)
    return {name: depth[name] if depth[name] <= top else None for name in names}


def _is_pretrained(name: str, value: nn.Parameter, head: TaskHead) -> bool:
    """Return whether a parameter is from the base model's files."""
    return not getattr(value, "is_new", False) and not is_inside(name, list(head.head_modules))


def _copy_factors(update: LowRankUpdate) -> tuple[torch.Tensor, torch.Tensor]:
    left, right = (factor.detach().to("cpu", copy=True) for factor in (update.left, update.right))
    return left, right


def low_rank_change(
    name: str, layer: int | None, update: LowRankUpdate, start: tuple[torch.Tensor, torch.Tensor] | None
) -> WeightChange:
    """Return the change by a low-rank update: weight + s B A - (weight + s B0 A0) = s [B, -B0] [A; A0].

    Args:
        start: B0 and A0, the factors before training; the terms with them are left out where their product is zero.
    """
    left, right = update.scale * to_array(update.left), to_array(update.right)
    before = to_array(update.weight())
    if start is not None and start[0].any() and start[1].any():
        left0, right0 = update.scale * to_array(start[0]), to_array(start[1])
        before = before + left0 @ right0
        left, right = np.hstack([left, -left0]), np.vstack([right, right0])
    return WeightChange(name, layer, before, before + left @ right, (left, right))


def to_array(value: torch.Tensor) -> np.ndarray:
    array: np.ndarray = value.detach().float().cpu().numpy()
    return array


UNCHANGED = "no matrix of the base model moved whose change could be told"


@dataclass
class WeightChangeRecorder:
    """Records `weights/<metric>` for each metric with a `weight_change`; without any, nothing is copied."""

    strategy: Strategy
    metrics: Mapping[str, TransferMetric]
    buffer: EvidenceBuffer
    _layers: dict[str, int | None] = field(default_factory=dict)
    _before: Mapping[str, torch.Tensor] | None = None
    """Copies of the matrices that may change without a low-rank update; None before they are made."""
    _factors: dict[str, tuple[torch.Tensor, torch.Tensor]] = field(default_factory=dict)

    @property
    def names(self) -> list[str]:
        return [f"weights/{name}" for name in self.metrics]

    def find_layers(self, bare: nn.Module, head: TaskHead) -> None:
        """Record the layer of each matrix of the unadapted base model."""
        if self.metrics:
            with self.buffer.capture_errors(*self.names):
                self._layers = find_matrices(bare, head)

    def start(self, model: nn.Module, adapted: bool = True) -> None:
        """Copy the weights that are trainable, or may become trainable, before the first step.

        Args:
            adapted: False for the base model of a finished run, before the trained weights are loaded.
        """
        if not self.metrics:
            return
        with self.buffer.capture_errors(*self.names):
            updates = self.strategy.low_rank_updates(model) if adapted else {}
            self._factors = {name: _copy_factors(update) for name, update in updates.items()}
            every = not adapted or self.strategy.capabilities.changes_trainable_weights
            self._before = DiskTensors(
                (name, value)
                for name, value in model.named_parameters()
                if name in self._layers and (value.requires_grad or every)
            )

    def record(self, model: nn.Module) -> None:
        """Record each metric's numbers for each changed matrix; an error in one metric does not affect the others."""
        if self._before is None:
            return
        values: dict[str, dict[str, Any]] = {name: {} for name in self.metrics}
        with self.buffer.capture_errors(*self.names):
            for change in self.changes(model):
                for name, metric in self.metrics.items():
                    with self.buffer.capture_errors(f"weights/{name}"):
                        numbers = {key: float(value) for key, value in metric.weight_change(change).items()}
                        values[name][change.name] = {"layer": change.layer, **numbers}
            self._store(values)

    def changes(self, model: nn.Module) -> Iterator[WeightChange]:
        """Yield the change of each matrix that differs from its copy, and of those with a low-rank update."""
        now = dict(model.named_parameters())
        for name, value in (self._before or {}).items():
            before, after = to_array(value), to_array(now[name]) if name in now else None
            if after is not None and not np.array_equal(before, after):
                yield WeightChange(name, self._layers[name], before, after)
        for name, update in self.strategy.low_rank_updates(model).items():
            yield low_rank_change(name, self._layers.get(name), update, self._factors.get(name))

    def _store(self, values: Mapping[str, Mapping[str, Any]]) -> None:
        for name, changes in values.items():
            if not changes:
                self.buffer.reasons.setdefault(f"weights/{name}", UNCHANGED)
            elif f"weights/{name}" not in self.buffer.reasons:
                self.buffer.evidence[f"weights/{name}"] = changes
