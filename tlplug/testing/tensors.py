"""Helpers of checks for models, tensors and outputs."""

from __future__ import annotations

import itertools
import random
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import nn

Tensors = dict[str, torch.Tensor]


def seed(number: int) -> None:
    """Seed every random generator that a plugin may use."""
    random.seed(number)
    np.random.seed(number)
    torch.manual_seed(number)


def disable_dropout(model: nn.Module) -> None:
    """Set the rate of all dropout modules to 0."""
    for module in model.modules():
        if isinstance(module, nn.modules.dropout._DropoutNd):
            module.p = 0.0


def add_noise(model: nn.Module, size: float = 0.05) -> None:
    """Add noise to all trainable weights."""
    generator = torch.Generator().manual_seed(7)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.requires_grad:
                noise = torch.randn(parameter.shape, generator=generator)
                parameter.add_(size * noise.to(parameter.dtype))


def trainable(model: nn.Module) -> Tensors:
    """Return a copy of the trainable weights."""
    return {name: p.detach().clone() for name, p in model.named_parameters() if p.requires_grad}


def state(model: nn.Module) -> Tensors:
    """Return a copy of all parameters and buffers."""
    tensors = itertools.chain(model.named_parameters(), model.named_buffers())
    return {name: tensor.detach().clone() for name, tensor in tensors}


def changed(before: Mapping[str, torch.Tensor], after: Mapping[str, torch.Tensor]) -> set[str]:
    return {name for name in before if name in after and not torch.equal(before[name], after[name])}


def difference(
    one: Mapping[str, torch.Tensor], other: Mapping[str, torch.Tensor], floor: float = 1.0
) -> tuple[str, float]:
    """Return the tensor that differs most between two sets, and by which share of its largest value.

    Args:
        floor: least divisor, as a share of the largest value of all tensors.
    """
    if set(one) != set(other):
        return min(set(one) ^ set(other)), float("inf")
    sizes = {name: float(tensor.abs().max()) for name, tensor in one.items() if tensor.numel()}
    least = floor * max(sizes.values(), default=0.0) or 1.0
    differences = {
        name: float((one[name] - other[name]).abs().max()) / max(size, least) for name, size in sizes.items()
    }
    return max(differences.items(), key=lambda item: item[1], default=("", 0.0))


def max_difference(one: Any, other: Any) -> float:
    """Return the largest difference between two outputs; infinite where their structures differ."""
    if isinstance(one, float) and isinstance(other, float):
        return abs(one - other)
    if isinstance(one, dict) and isinstance(other, dict) and set(one) == set(other):
        return max((max_difference(one[key], other[key]) for key in one), default=0.0)
    if isinstance(one, list | tuple) and isinstance(other, list | tuple) and len(one) == len(other):
        return max((max_difference(*pair) for pair in zip(one, other, strict=True)), default=0.0)
    return 0.0 if one == other else float("inf")
