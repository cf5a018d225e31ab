"""What is seen of a training while it goes on."""

from __future__ import annotations

from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer

from tlplug.testing.tensors import seed


class Watch(Callback):
    """What moves and which modules are in eval mode at each step; makes what is drawn depend on the step alone."""

    def __init__(self) -> None:
        self.moving: list[frozenset[str]] = []
        """Names of the parameters with `requires_grad`, step by step."""
        self.resting: list[frozenset[str]] = []
        """Names of the modules in eval mode."""
        self.losses: list[float] = []

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int
    ) -> None:
        seed(trainer.global_step)
        model: torch.nn.Module = pl_module.model  # type: ignore[assignment]
        self.moving.append(frozenset(name for name, p in model.named_parameters() if p.requires_grad))
        self.resting.append(frozenset(name for name, m in model.named_modules() if not m.training))

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        self.losses.append(float(outputs["loss"]))
