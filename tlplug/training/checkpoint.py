"""Write, choose and remove the checkpoints of a fit."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Checkpoint
from lightning.pytorch.trainer.states import TrainerFn

from tlplug.errors import UsageError
from tlplug.runtime.compat import is_validation_due
from tlplug.runtime.distributed import broadcast, gather
from tlplug.runtime.signals import StopRequest, stop_error
from tlplug.settings import CheckpointSettings
from tlplug.training.checkpoint_files import (
    BEST,
    LAST,
    checkpoint_path,
    checkpoints_by_step,
    random_states,
    readable_checkpoints,
    restore,
)

OURS = "tlplug"
"""The key of tlplug's own part of a checkpoint."""
SYNC_STEPS = 8
"""Optimizer steps after which several processes decide together whether to write a checkpoint or to stop."""
GRACE = 10.0
"""Seconds that a validation may continue after a signal to stop."""

log = logging.getLogger(__name__)


class Checkpoints(Checkpoint):
    """Writes the checkpoints from which a fit can be resumed. Lightning calls it after all other callbacks.

    A checkpoint is written between two optimizer steps, never while gradients are accumulated or during a validation. At
    the end of an epoch without a validation it is written one step later, since Lightning cannot resume from there.

    Args:
        folder: the folder of this fit's checkpoints; None in a process that receives it from the first one.
        identity: what must be the same when a checkpoint is resumed, by its name in messages; JSON types.
        primary: the score that `best` is chosen by.
        stop: the request to stop the run.
    """

    def __init__(
        self,
        folder: Path | None,
        settings: CheckpointSettings,
        identity: Mapping[str, Any],
        primary: str,
        higher_is_better: bool,
        stop: StopRequest,
    ) -> None:
        self._folder = folder
        self.settings = settings
        self.identity = dict(identity)
        self.primary = primary
        self.sign = 1.0 if higher_is_better else -1.0
        self.stop = stop
        self.best: tuple[int, float] | None = None
        """The optimizer step of the best validation so far, and its score."""
        self._random: list[dict[str, Any]] | None = None
        self._step = self._written = 0
        self._since = 0.0
        self._due = False

    @property
    def folder(self) -> Path:
        assert self._folder is not None, "setup has not run yet"
        return self._folder

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        self._folder = broadcast(self._folder)

    def begin(self) -> Path | None:
        """Return the checkpoint to resume from; None if there is none.

        Raises:
            UsageError: no checkpoint can be read, or they are of another base model or other data.
        """
        if self._folder is None:
            return None
        for path, checkpoint in readable_checkpoints(self.folder):
            self._check_identity(path, checkpoint.get(OURS, {}).get("identity", {}))
            return path
        if checkpoints_by_step(self.folder, LAST):
            raise UsageError(f"no checkpoint in {self.folder} can be read; remove the folder to start again")
        return None

    def _check_identity(self, path: Path, identity: Mapping[str, Any]) -> None:
        for name, here in self.identity.items():
            if (there := identity.get(name)) != here:
                raise UsageError(
                    f"{path} was written with another {name} ({there}) than there is now ({here}); "
                    f"remove {self.folder} to start again"
                )

    def best_path(self) -> Path | None:
        """Return the checkpoint of the best validation, if `use_best` is set and there was a validation."""
        return (
            checkpoint_path(self.folder, BEST, self.best[0]) if self.settings.use_best and self.best else None
        )

    def on_save_checkpoint(
        self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        checkpoint[OURS] = {
            "identity": self.identity,
            "processes": trainer.world_size,
            "random": random_states(pl_module.device),
            "best": None if self.best is None else list(self.best),
        }

    def on_load_checkpoint(
        self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        ours = checkpoint[OURS]
        if ours["processes"] != trainer.world_size:
            raise UsageError(
                f"the checkpoints in {self.folder} are of {ours['processes']} processes and this run has "
                f"{trainer.world_size}, which would change the batches. Use the same number "
                "(trainer.devices, trainer.num_nodes)"
            )
        self._random = ours["random"]
        self.best = None if ours["best"] is None else (ours["best"][0], ours["best"][1])

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self._random is not None:
            restore(self._random, pl_module.device)
            log.info("resuming after optimizer step %d", trainer.global_step)
        self._random = None
        self._step = self._written = trainer.global_step
        self._since = time.monotonic()
        self.stop.deferred = True

    def on_train_end(self, *_: Any) -> None:
        self.stop.deferred = False

    def on_exception(self, *_: Any) -> None:
        self.stop.deferred = False

    def on_train_batch_end(self, trainer: Trainer, *_: Any, **__: Any) -> None:
        if trainer.global_step == self._step:
            return  # gradients are still being accumulated
        self._step = trainer.global_step
        self._sync(trainer)
        if not (trainer.is_last_batch or is_validation_due(trainer)):
            self._write_if_due(trainer)

    def on_validation_batch_end(self, trainer: Trainer, *_: Any, **__: Any) -> None:
        expired = self.stop.signal and time.monotonic() - self.stop.since > GRACE
        if expired and trainer.world_size == 1 and trainer.state.fn == TrainerFn.FITTING:
            raise stop_error(self.stop.signal)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.state.fn != TrainerFn.FITTING:
            return
        self._sync(trainer)
        self._update_best(trainer, pl_module)
        self._write_if_due(trainer)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if is_over(trainer):
            self._due = True
            self._write_if_due(trainer)

    def _sync(self, trainer: Trainer) -> None:
        """Decide with all processes whether to write a checkpoint or to stop; several processes do so every 8 steps."""
        if trainer.world_size > 1 and self._step % SYNC_STEPS and not trainer.is_last_batch:
            return
        minutes = self.settings.every_minutes
        late = minutes is not None and time.monotonic() - self._since >= minutes * 60
        states = gather([(late, self.stop.signal)])
        self._due |= states[0][0]
        self.stop.signal = max(signal for _, signal in states)

    def _write_if_due(self, trainer: Trainer) -> None:
        every = self.settings.every_steps
        if every is not None and self._step // every > self._written // every:
            self._due = True
        if (self._due or self.stop.signal) and self._step > self._written:
            self._write(trainer)
        if self.stop.signal:
            raise stop_error(self.stop.signal)

    def _write(self, trainer: Trainer) -> None:
        trainer.save_checkpoint(checkpoint_path(self.folder, LAST, self._step))
        self._due, self._written, self._since = False, self._step, time.monotonic()
        if trainer.is_global_zero:
            self._prune()

    def _prune(self) -> None:
        """Remove all checkpoints but the last ones and the best one that the last one names."""
        for path in [*checkpoints_by_step(self.folder, LAST).values()][max(1, self.settings.keep_last) :]:
            path.unlink()
        for step, path in checkpoints_by_step(self.folder, BEST).items():
            if self.best is None or step != self.best[0]:
                path.unlink()

    def _update_best(self, trainer: Trainer, pl_module: LightningModule) -> None:
        scores: Mapping[str, Mapping[str, float]] = pl_module.scores  # type: ignore[assignment]
        if not self.settings.use_best or "validation" not in scores:
            return
        score = scores["validation"][self.primary]
        if self.best is None or self.sign * score > self.sign * self.best[1]:
            path = checkpoint_path(self.folder, BEST, trainer.global_step)
            trainer.save_checkpoint(path, weights_only=True)
            self.best = (trainer.global_step, score) if broadcast(path.exists()) else self.best


def is_over(trainer: Trainer) -> bool:
    """Return whether the current epoch is the last one. Lightning's own check would change its counters."""
    epochs = trainer.max_epochs is not None and trainer.current_epoch + 1 >= trainer.max_epochs >= 0
    steps = 0 <= trainer.max_steps <= trainer.global_step
    return epochs or steps or trainer.should_stop
