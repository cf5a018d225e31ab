"""The strength of the reversed gradient, as it rises over a training."""

from __future__ import annotations

from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer

from tlplug_plugins.strategies.layers.reversal import ramp


class Ramp(Callback):
    """Sets the strength before each batch, from the optimizer steps done: a resumed training goes on where it was."""

    def __init__(self, name: str, gamma: float) -> None:
        self.name = name
        self.gamma = gamma

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int
    ) -> None:
        share = trainer.global_step / pl_module.total_steps
        pl_module.model.get_submodule(self.name).strength = ramp(share, self.gamma)
