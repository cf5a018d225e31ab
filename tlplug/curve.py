"""How a score rises while a model is trained."""

from __future__ import annotations

from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.trainer.states import TrainerFn

from tlplug.module import MAIN, by_stream


class LearningCurve(Callback):
    """At each validation of a fit, how many training examples had been seen, and the score.

    The counts depend on the data and on the batches alone, so those of a run and of its baselines are the same.
    """

    def __init__(self, primary: str) -> None:
        self.primary = primary
        self.points: list[list[float]] = []
        self._seen = 0

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        self._seen += len(by_stream(batch)[MAIN]["id"]) * trainer.world_size

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        scores: dict[str, dict[str, float]] = pl_module.scores  # type: ignore[assignment]
        if trainer.state.fn == TrainerFn.FITTING and "validation" in scores:
            self.points.append([self._seen, scores["validation"][self.primary]])
