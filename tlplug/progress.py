"""progress.json: how far a run is, for whoever looks from outside. It is gone once the run has its result."""

from __future__ import annotations

import logging
import time
from pathlib import Path
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.trainer.states import TrainerFn

from tlplug.run_directory import PROGRESS, write_json

log = logging.getLogger(__name__)

VERSION = 1
SECONDS = 2.0
"""Between two writings at least, where no validation has ended."""


class Progress:
    """Of the trainings of one run, one after another.

    Args:
        folder: the run directory.
        primary: the validation score that is told.
    """

    def __init__(self, folder: Path, primary: str) -> None:
        self.path = folder / PROGRESS
        self.primary = primary
        self.scores: list[list[float]] = []
        """Of the run's own training: the optimizer step of each validation, and its score."""

    def of(self, what: str, own: bool = False) -> Callback:
        """For one training.

        Args:
            what: `lora`, `baseline scratch`.
            own: whether it is the run's own, not one that it is compared with.
        """
        return _Told(self, what, own)

    def write(self, what: str, trainer: Trainer, steps: int) -> None:
        told = {
            "version": VERSION,
            "what": what,
            "epoch": trainer.current_epoch + 1,
            "epochs": trainer.max_epochs,
            "step": trainer.global_step,
            "steps": steps,
            "scores": self.scores,
        }
        try:
            write_json(self.path, told, lasting=False)
        except OSError as error:
            # A full disk, which the run may outlive: somebody makes room before it has to save.
            log.warning("%s could not be written (%s)", self.path, error)

    def end(self) -> None:
        self.path.unlink(missing_ok=True)


class _Told(Callback):
    def __init__(self, progress: Progress, what: str, own: bool) -> None:
        self.progress, self.what, self.own = progress, what, own
        self._written = 0.0

    def state_dict(self) -> dict[str, Any]:
        return {"scores": self.progress.scores} if self.own else {}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        if self.own:
            self.progress.scores = [list(point) for point in state_dict["scores"]]

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._tell(trainer, pl_module)

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if time.monotonic() - self._written >= SECONDS:
            self._tell(trainer, pl_module)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.state.fn != TrainerFn.FITTING:
            return
        scores: dict[str, dict[str, float]] = pl_module.scores  # type: ignore[assignment]
        if self.own and "validation" in scores:
            self.progress.scores.append([trainer.global_step, scores["validation"][self.progress.primary]])
        self._tell(trainer, pl_module)

    def _tell(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.is_global_zero:
            self.progress.write(self.what, trainer, int(pl_module.total_steps))  # type: ignore[arg-type]
            self._written = time.monotonic()
