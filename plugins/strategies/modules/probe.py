"""A linear classifier over the mean-pooled features of a frozen trunk."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import torch
from torch import nn


class MeanPooledTrunk(nn.Module):
    """Hidden states [B, T, D] of the last layer -> their mean over real tokens [B, D]."""

    def __init__(self, trunk: nn.Module) -> None:
        super().__init__()
        self.trunk = trunk

    @torch.no_grad()
    def forward(self, attention_mask: torch.Tensor, **inputs: Any) -> torch.Tensor:
        states = self.trunk(attention_mask=attention_mask, **inputs).last_hidden_state
        mask = attention_mask.unsqueeze(-1).to(states.dtype)
        return (states * mask).sum(1) / mask.sum(1).clamp(min=1)


class Probe(nn.Module):
    """Features [B, D] -> logits [B, K] by one linear layer."""

    def __init__(self, trunk: nn.Module, features: int, labels: int) -> None:
        super().__init__()
        self.prefix = MeanPooledTrunk(trunk)
        self.classifier = nn.Linear(features, labels)

    def forward(self, **inputs: Any) -> SimpleNamespace:
        return SimpleNamespace(logits=self.classifier(self.prefix(**inputs).to(self.classifier.weight.dtype)))
