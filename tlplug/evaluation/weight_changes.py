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


@dataclass(frozen=True)
class Start:
    """The weights that are going to move, as they are before they do."""

    layers: Mapping[str, int | None]
    whole: Mapping[str, torch.Tensor]
    factors: Mapping[str, tuple[torch.Tensor, torch.Tensor]]

    @classmethod
    def of(cls, layers: Mapping[str, int | None], model: nn.Module, strategy: Strategy) -> Start:
        """What moves, or where that changes in the course of a training, all that may."""
        every = strategy.capabilities.changes_trainable_weights
        whole = Aside(
            (name, value)
            for name, value in model.named_parameters()
            if name in layers and (value.requires_grad or every)
        )
        factors = {name: _copies(found) for name, found in strategy.low_rank_updates(model).items()}
        return cls(layers, whole, factors)

    @classmethod
    def bare(cls, layers: Mapping[str, int | None], model: nn.Module) -> Start:
        """A bare base model, over which what moved is going to be loaded."""
        whole = Aside((name, value) for name, value in model.named_parameters() if name in layers)
        return cls(layers, whole, {})

    def changes(self, model: nn.Module, strategy: Strategy) -> Iterator[WeightChange]:
        """What has become of those that moved."""
        now = dict(model.named_parameters())
        for name, value in self.whole.items():
            before, after = array(value), array(now[name]) if name in now else None
            if after is not None and not np.array_equal(before, after):
                yield WeightChange(name, self.layers[name], before, after)
        for name, found in strategy.low_rank_updates(model).items():
            yield low_rank_change(name, self.layers.get(name), found, self.factors.get(name))


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
class Moved:
    """`weights/<metric>`, for each of the metrics that ask; where none does, nothing is copied."""

    strategy: Strategy
    metrics: Mapping[str, TransferMetric]
    kept: Kept
    _layers: dict[str, int | None] = field(default_factory=dict)
    _start: Start | None = None

    @property
    def names(self) -> list[str]:
        return [f"weights/{name}" for name in self.metrics]

    def before(self, bare: nn.Module, head: TaskHead) -> None:
        """The bare base model, which knows the layers of its matrices."""
        if self.metrics:
            with self.kept.reported(*self.names):
                self._layers = matrices_of(bare, head)

    def begins(self, model: nn.Module) -> None:
        """The adapted model, before the first step."""
        if self.metrics:
            with self.kept.reported(*self.names):
                self._start = Start.of(self._layers, model, self.strategy)

    def bare(self, model: nn.Module) -> None:
        """The bare base model of a finished run, over which what was trained is loaded next."""
        if self.metrics:
            with self.kept.reported(*self.names):
                self._start = Start.bare(self._layers, model)

    def after(self, model: nn.Module) -> None:
        """The adapted model, trained."""
        if self._start is not None:
            with self.kept.reported(*self.names):
                self._keep(self._told(model, self._start))

    def _told(self, model: nn.Module, start: Start) -> dict[str, dict[str, Any]]:
        """Of each metric, by the matrices' names; one metric's fault is none of the others'."""
        found: dict[str, dict[str, Any]] = {name: {} for name in self.metrics}
        for change in start.changes(model, self.strategy):
            for name, metric in self.metrics.items():
                with self.kept.reported(f"weights/{name}"):
                    values = {key: float(value) for key, value in metric.weight_change(change).items()}
                    found[name][change.name] = {"layer": change.layer, **values}
        return found

    def _keep(self, found: Mapping[str, Mapping[str, Any]]) -> None:
        for name, changes in found.items():
            if not changes:
                self.kept.reasons.setdefault(f"weights/{name}", UNMOVED)
            elif f"weights/{name}" not in self.kept.reasons:
                self.kept.evidence[f"weights/{name}"] = changes
