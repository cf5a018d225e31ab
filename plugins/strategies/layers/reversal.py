"""Gradient reversal, and the classifier of domains behind it."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import nn
from torch.nn.functional import binary_cross_entropy_with_logits


class Reverse(torch.autograd.Function):
    """The identity, whose gradient is -strength times what comes back."""

    @staticmethod
    def forward(ctx: Any, features: torch.Tensor, strength: float) -> torch.Tensor:
        ctx.strength = strength
        return features.view_as(features)

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor, None]:
        return -ctx.strength * gradients[0], None


class DomainClassifier(nn.Module):
    """Features [n, D] -> the logit [n] that they are of the target domain."""

    def __init__(self, features: int, hidden: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(features, hidden), nn.ReLU(), nn.Linear(hidden, 1))
        self.strength = 0.0
        """What goes back into the features is multiplied by minus this."""

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.layers(Reverse.apply(features, self.strength))
        return logits.squeeze(-1).float()


def domain_loss(source: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """The cross entropy of logits [n] of the source (0) and [m] of the target (1): a mean over each, and of the two."""
    losses = (
        binary_cross_entropy_with_logits(logits, torch.full_like(logits, label))
        for logits, label in ((source, 0.0), (target, 1.0))
    )
    return sum(losses, source.new_zeros(())) / 2


def share_told_apart(source: torch.Tensor, target: torch.Tensor) -> float:
    """The share of logits on the right side, a mean over the two domains."""
    return ((source < 0).float().mean() + (target > 0).float().mean()).item() / 2


def ramp(share: float, gamma: float) -> float:
    """2 / (1 + exp(-gamma share)) - 1: from 0 towards 1 as `share` goes from 0 to 1."""
    return 2 / (1 + math.exp(-gamma * share)) - 1
