"""How the matrices of the base model changed, one at a time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from tlplug.contracts import LowRank, Strategy, TaskHead, WeightChange
from tlplug.evidence.aside import Aside
from tlplug.layers import blocks, depths, within

if TYPE_CHECKING:
    import torch
    from torch import nn


def matrices_of(model: nn.Module, head: TaskHead) -> dict[str, int | None]:
    """The matrices of a bare base model by name -> the layer that each lies in; the head's are left out."""
    names = [name for name, value in model.named_parameters() if value.ndim == 2 and _own(name, value, head)]
    try:
        depth, top = depths(model), len(blocks(model))
    except ValueError:
        return dict.fromkeys(names)
    return {name: depth[name] if depth[name] <= top else None for name in names}


def _own(name: str, value: nn.Parameter, head: TaskHead) -> bool:
    """Whether the base model's files have it; a quantized matrix is a column of bytes, [n, 1]."""
    return not getattr(value, "is_new", False) and not within(name, list(head.output_modules))


@dataclass(frozen=True)
class Start:
    """The weights that are going to move, as they are before they do."""

    layers: Mapping[str, int | None]
    whole: Mapping[str, torch.Tensor]
    factors: Mapping[str, tuple[torch.Tensor, torch.Tensor]]

    @classmethod
    def of(cls, layers: Mapping[str, int | None], model: nn.Module, strategy: Strategy) -> Start:
        """What moves, or where that changes in the course of a training, all that may."""
        every = strategy.capabilities.staged
        whole = Aside(
            (name, value)
            for name, value in model.named_parameters()
            if name in layers and (value.requires_grad or every)
        )
        factors = {name: _copies(found) for name, found in strategy.low_rank(model).items()}
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
        for name, found in strategy.low_rank(model).items():
            yield low_rank_change(name, self.layers.get(name), found, self.factors.get(name))


def _copies(found: LowRank) -> tuple[torch.Tensor, torch.Tensor]:
    left, right = (factor.detach().to("cpu", copy=True) for factor in (found.left, found.right))
    return left, right


def low_rank_change(
    name: str, layer: int | None, found: LowRank, start: tuple[torch.Tensor, torch.Tensor] | None
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
