"""Reverse the gradient of a domain classifier, with a strength that rises during training."""

from __future__ import annotations

import math
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import nn
from torch.nn.functional import binary_cross_entropy_with_logits


class GradientReversal(torch.autograd.Function):
    """The identity, whose gradient is multiplied by -strength."""

    @staticmethod
    def forward(ctx: Any, features: torch.Tensor, strength: float) -> torch.Tensor:
        ctx.strength = strength
        return features.view_as(features)

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor, None]:
        return -ctx.strength * gradients[0], None


class DomainClassifier(nn.Module):
    """A classifier from features [n, D] to the logit [n] of the target domain."""

    def __init__(self, features: int, hidden: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(features, hidden), nn.ReLU(), nn.Linear(hidden, 1))
        self.strength = 0.0
        """The factor of the reversed gradient of the features."""

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.layers(GradientReversal.apply(features, self.strength))
        return logits.squeeze(-1).float()


def domain_loss(source: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """Return the cross entropy of logits [n] of the source (0) and [m] of the target (1), averaged over the two domains."""
    losses = (
        binary_cross_entropy_with_logits(logits, torch.full_like(logits, label))
        for logits, label in ((source, 0.0), (target, 1.0))
    )
    return sum(losses, source.new_zeros(())) / 2


def domain_accuracy(source: torch.Tensor, target: torch.Tensor) -> float:
    """Return the share of correctly classified logits, averaged over the two domains."""
    return ((source < 0).float().mean() + (target > 0).float().mean()).item() / 2


def ramp(share: float, gamma: float) -> float:
    """Return 2 / (1 + exp(-gamma share)) - 1, which rises from 0 towards 1 with `share`."""
    return 2 / (1 + math.exp(-gamma * share)) - 1


class ReversalSchedule(Callback):
    """Set the strength before each batch by the optimizer steps done, so that a resumed training continues the schedule."""

    def __init__(self, name: str, gamma: float) -> None:
        self.name = name
        self.gamma = gamma

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int
    ) -> None:
        share = trainer.global_step / pl_module.total_steps
        pl_module.model.get_submodule(self.name).strength = ramp(share, self.gamma)
