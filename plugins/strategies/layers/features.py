"""Pool hidden states into features, classify them, and compute distances between those of two batches."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import torch
from torch import nn


def mean(states: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
    """Return the mean [B, D] of states [B, T, D] over real tokens."""
    if mask is None:
        return states.mean(1)
    real = mask.unsqueeze(-1).to(states.dtype)
    return (states * real).sum(1) / real.sum(1).clamp(min=1)


def first(states: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
    """Return the first real token's state [B, D] of states [B, T, D]."""
    if mask is None:
        return states[:, 0]
    return states[torch.arange(len(states), device=states.device), mask.int().argmax(1)]


def last(states: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
    """Return the last real token's state [B, D] of states [B, T, D]."""
    if mask is None:
        return states[:, -1]
    places = torch.arange(mask.shape[1], device=mask.device)
    return states[torch.arange(len(states), device=states.device), (places * mask).argmax(1)]


POOLINGS = {"mean": mean, "cls": first, "last": last, "layer_mean": mean}


class PooledTrunk(nn.Module):
    """Hidden states [B, T, D] of the last layer, or the mean of all layers' -> one vector for each example [B, D].

    Without an attention mask, as for pictures, every position is real; those of a grid [B, D, H, W] stand in one row.

    Args:
        pooling: a key of `POOLINGS`.
    """

    def __init__(self, trunk: nn.Module, pooling: str) -> None:
        super().__init__()
        self.trunk = trunk
        self.pooling = pooling

    @torch.no_grad()
    def forward(self, **inputs: Any) -> torch.Tensor:
        all_layers = self.pooling == "layer_mean"
        outputs = self.trunk(output_hidden_states=all_layers, **inputs)
        states = torch.stack(outputs.hidden_states).mean(0) if all_layers else outputs.last_hidden_state
        if states.ndim == 4:
            states = states.flatten(2).transpose(1, 2)
        return POOLINGS[self.pooling](states, inputs.get("attention_mask"))


class Probe(nn.Module):
    """Features [B, D] -> logits [B, K] by one linear layer."""

    def __init__(self, trunk: nn.Module, pooling: str, features: int, labels: int) -> None:
        super().__init__()
        self.prefix = PooledTrunk(trunk, pooling)
        self.classifier = nn.Linear(features, labels)

    def forward(self, **inputs: Any) -> SimpleNamespace:
        return SimpleNamespace(logits=self.classifier(self.prefix(**inputs).to(self.classifier.weight.dtype)))


def covariance(features: torch.Tensor) -> torch.Tensor:
    """Return the unbiased covariance [D, D] of [n, D]; needs at least two rows."""
    centred = features - features.mean(0)
    return centred.T @ centred / (len(features) - 1)


def coral(source: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """Return ||C_s - C_t||_F^2 / (4 D^2) of features [n, D] and [m, D]."""
    # Autocast would multiply in 16 bits, too coarse for small differences of large sums.
    with torch.autocast(source.device.type, enabled=False):
        difference = covariance(source) - covariance(target)
        return difference.square().sum() / (4 * source.shape[1] ** 2)


def squared(features: torch.Tensor, others: torch.Tensor) -> torch.Tensor:
    """Return the mean squared difference of [n, D] and [n, D] over rows and dimensions."""
    return (features - others).square().mean()


def cosine(features: torch.Tensor, others: torch.Tensor) -> torch.Tensor:
    """Return the mean of 1 - cos of [n, D] and [n, D] over rows."""
    return (1 - torch.cosine_similarity(features, others, dim=-1)).mean()


FROM_FEATURES = {"squared": squared, "cosine": cosine}
