"""Everything moves."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from tlplug import AdaptContext, BaseInfo, OptimizerSettings, Strategy

if TYPE_CHECKING:
    from torch import nn


class Full(Strategy):
    """Full fine-tuning: every weight moves.

    Howard & Ruder 2018; Devlin et al. 2019.

    Take it where there are many rows or the task is far from the base model, and there is memory for the
    gradients and AdamW's two moments of every weight. With few rows it forgets most.
    """

    contract = 1
    optimizer_defaults = OptimizerSettings(
        learning_rate=5e-5, weight_decay=0.01, schedule="linear", warmup=0.1
    )
    saves = "model"

    def adapt(self, model: nn.Module, context: AdaptContext) -> nn.Module:
        return model.requires_grad_(True)

    def save(self, model: nn.Module, folder: Path) -> None:
        """What `AutoModelFor...from_pretrained(folder)` loads."""
        model.save_pretrained(folder)

    def load(self, model: nn.Module, folder: Path, base: BaseInfo) -> nn.Module:
        return type(model).from_pretrained(folder, use_safetensors=True)  # type: ignore[attr-defined, no-any-return]
