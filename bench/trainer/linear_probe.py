"""Define a linear probe as users of transformers' Trainer write it."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional
from transformers import AutoModel


class MeanPooledProbe(nn.Module):
    """A linear classifier on the mean of a frozen trunk's states over the real tokens."""

    def __init__(self, folder: str, labels: int) -> None:
        super().__init__()
        self.trunk = AutoModel.from_pretrained(folder, add_pooling_layer=False).requires_grad_(False)
        self.classifier = nn.Linear(self.trunk.config.hidden_size, labels)

    def train(self, mode: bool = True) -> MeanPooledProbe:
        """Set the mode, but keep the frozen trunk in eval mode, without dropout."""
        super().train(mode)
        self.trunk.eval()
        return self

    def forward(
        self,
        input_ids: torch.Tensor,
        attention_mask: torch.Tensor,
        token_type_ids: torch.Tensor | None = None,
        labels: torch.Tensor | None = None,
    ) -> dict[str, torch.Tensor]:
        with torch.no_grad():
            states = self.trunk(input_ids, attention_mask, token_type_ids).last_hidden_state
        real = attention_mask.unsqueeze(-1).to(states.dtype)
        logits = self.classifier((states * real).sum(1) / real.sum(1))
        if labels is None:
            return {"logits": logits}
        return {"loss": functional.cross_entropy(logits, labels), "logits": logits}
