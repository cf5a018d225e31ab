"""Record the validation score during training."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.trainer.states import TrainerFn


class LearningCurve(Callback):
    """Records the number of training rows seen and the score, at each validation of a fit.

    Within an epoch all batches count as equally large, so a run and its baselines have the same counts.

    Args:
        rows: the number of training rows.
        batches: returns the number of batches in an epoch from the number of processes.
    """

    def __init__(self, primary: str, rows: int, batches: Callable[[int], int]) -> None:
        self.primary = primary
        self.rows = rows
        self.batches = batches
        self.points: list[list[float]] = []
        self._done = 0

    def state_dict(self) -> dict[str, Any]:
        return {"points": self.points, "done": self._done}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.points, self._done = [list(point) for point in state_dict["points"]], state_dict["done"]

    def on_train_batch_end(self, *_: Any, **__: Any) -> None:
        self._done += 1

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        scores: dict[str, dict[str, float]] = pl_module.scores  # type: ignore[assignment]
        if trainer.state.fn == TrainerFn.FITTING and "validation" in scores:
            seen = round(self.rows * self._done / self.batches(trainer.world_size))
            self.points.append([seen, scores["validation"][self.primary]])
