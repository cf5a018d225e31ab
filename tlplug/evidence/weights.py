"""How the matrices of the base model changed, one at a time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from tlplug.contracts import LowRank, Strategy, TaskHead, WeightChange
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
        whole = {
            name: value.detach().to("cpu", copy=True)
            for name, value in model.named_parameters()
            if name in layers and (value.requires_grad or every)
        }
        factors = {name: _copies(found) for name, found in strategy.low_rank(model).items()}
        return cls(layers, whole, factors)

    def changes(self, model: nn.Module, strategy: Strategy) -> Iterator[WeightChange]:
        """What has become of them."""
        now = dict(model.named_parameters())
        for name, before in self.whole.items():
            yield WeightChange(name, self.layers[name], array(before), array(now[name]))
        for name, found in strategy.low_rank(model).items():
            yield low_rank_change(name, self.layers.get(name), found, self.factors[name])


def _copies(found: LowRank) -> tuple[torch.Tensor, torch.Tensor]:
    left, right = (factor.detach().to("cpu", copy=True) for factor in (found.left, found.right))
    return left, right


def low_rank_change(
    name: str, layer: int | None, found: LowRank, start: tuple[torch.Tensor, torch.Tensor]
) -> WeightChange:
    """weight + s B A - (weight + s B0 A0) = s [B, -B0] [A; A0], the second part where B0 A0 is not zero."""
    left, right = found.scale * array(found.left), array(found.right)
    left0, right0 = found.scale * array(start[0]), array(start[1])
    before = array(found.weight())
    if left0.any() and right0.any():
        before = before + left0 @ right0
        left, right = np.hstack([left, -left0]), np.vstack([right, right0])
    return WeightChange(name, layer, before, before + left @ right, (left, right))


def array(value: torch.Tensor) -> np.ndarray:
    found: np.ndarray = value.detach().float().cpu().numpy()
    return found
