"""Stop a training whose loss is not finite, and name the rows of the batch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.trainer.states import TrainerFn

from tlplug.errors import TrainingFailed
from tlplug.interfaces import Rows
from tlplug.runtime.distributed import gather, rank
from tlplug.training.module import MAIN, by_stream

if TYPE_CHECKING:
    from torch import nn

BATCHES = 8
"""Batches between two checks of several processes: each check makes a GPU wait."""
PLACES, IDS = 3, 64
"""The number of rows named by place in the data, and by id."""


@dataclass(frozen=True)
class Step:
    """The loss of one batch, whose check may not be finished."""

    number: int
    """The optimizer step of the batch, from 1 on."""
    epoch: int
    batch: int
    ids: torch.Tensor
    """int64 [B], of the task's own rows."""
    loss: torch.Tensor
    finite: torch.Tensor
    """bool scalar on the CPU, valid after `done`."""
    done: torch.cuda.Event | None

    @classmethod
    def start_check(cls, trainer: Trainer, loss: torch.Tensor, batch: Any, index: int, number: int) -> Step:
        # On a GPU the copy is asynchronous; it is read when the next batch has been queued behind it.
        finite = torch.isfinite(loss.detach()).to("cpu", non_blocking=True)
        done = torch.cuda.Event() if loss.is_cuda else None  # type: ignore[no-untyped-call]
        if done is not None:
            done.record()
        ids = by_stream(batch)[MAIN]["id"]
        return cls(number, trainer.current_epoch + 1, index + 1, ids, loss.detach(), finite, done)

    def is_finite(self) -> bool:
        if self.done is not None:
            self.done.synchronize()
        return bool(self.finite)

    def failure(self, cause: str) -> NonFinite:
        return NonFinite(cause, self.number, self.epoch, self.batch, self.ids.tolist())


@dataclass(frozen=True)
class NonFinite:
    """A loss or weight that is not finite, in plain types for sending between processes."""

    cause: str
    step: int
    epoch: int
    batch: int
    ids: list[int]


class StopOnNonFinite(Callback):
    """Ends a fit whose loss is NaN or infinite, with the step and the ids of the batch's rows.

    A batch's loss is checked after the next batch. Before a validation, before a checkpoint and at the end all losses
    and the trainable weights are checked, so that none that is not finite is saved or scored. Gradients may be infinite:
    float16 finds its loss scale that way.

    Raises:
        TrainingFailed: in all processes, even if only one has seen it.
    """

    def __init__(self) -> None:
        self._step = 0
        self._waiting: list[Step] = []
        self._last: Step | None = None
        self._failure: NonFinite | None = None

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int
    ) -> None:
        self._step = trainer.global_step + 1

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        self._check_losses()
        if outputs:
            self._last = Step.start_check(trainer, outputs["loss"], batch, batch_idx, self._step)
            self._waiting.append(self._last)
        if trainer.world_size == 1 or batch_idx % BATCHES == 0:
            self._raise_together(trainer, pl_module)

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.state.fn == TrainerFn.FITTING:
            self.check_all(trainer, pl_module)

    def on_save_checkpoint(
        self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        self.check_all(trainer, pl_module)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.check_all(trainer, pl_module)

    def check_all(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Check all pending losses and the trainable weights."""
        self._check_losses()
        if self._failure is None and self._last is not None and (name := broken_weight(pl_module)):
            self._failure = self._last.failure(f"{name} is no longer finite")
        self._raise_together(trainer, pl_module)

    def _check_losses(self) -> None:
        for step in self._waiting:
            if self._failure is None and not step.is_finite():
                self._failure = step.failure(f"the loss is {float(step.loss)}")
        self._waiting.clear()

    def _raise_together(self, trainer: Trainer, pl_module: LightningModule) -> None:
        reported = [each for each in gather([self._failure]) if each is not None]
        if reported:
            first = min(reported, key=lambda each: each.step)
            raise TrainingFailed(failure_message(first, trainer, pl_module) if rank() == 0 else "")


def broken_weight(module: nn.Module) -> str | None:
    """Return the name of the first trainable weight with a NaN or an infinity, with one synchronization of a GPU."""
    trainable = {name: p.detach() for name, p in module.named_parameters() if p.requires_grad}
    if not trainable:
        return None
    sums = torch.stack([value.sum(dtype=torch.float32).cpu() for value in trainable.values()])
    suspects = [name for name, fine in zip(trainable, sums.isfinite().tolist(), strict=True) if not fine]
    return next((name for name in suspects if not torch.isfinite(trainable[name]).all()), None)


def failure_message(failure: NonFinite, trainer: Trainer, module: Any) -> str:
    """Return the message for the user."""
    steps = f"step {failure.step} of {module.total_steps}"
    rows = f"{format_ids(failure.ids)}{places(failure.ids, module.rows.get('train', ()))}"
    return (
        f"{failure.cause} in {steps} (epoch {failure.epoch}, batch {failure.batch}). The batch has the training rows with "
        f"the ids {rows}. {advice(failure.step, trainer)} No checkpoint was written since; the earlier ones are unchanged."
    )


def format_ids(ids: list[int]) -> str:
    more = f" and {len(ids) - IDS} more" if len(ids) > IDS else ""
    return ", ".join(map(str, ids[:IDS])) + more


def places(ids: list[int], rows: Rows) -> str:
    """Return the places of the first rows, if they are known."""
    place = getattr(rows, "place", None)
    if place is None:
        return ""
    return (
        f" ({'; '.join(place(identity) for identity in ids[:PLACES])}{'; ...' if len(ids) > PLACES else ''})"
    )


def advice(step: int, trainer: Trainer) -> str:
    """Return a remedy."""
    if str(trainer.precision).startswith("16"):
        return "float16 overflows above 65504: trainer.precision=bf16-mixed or 32-true."
    if step == 1:
        return "No weight had changed yet: check these rows and the base model's own weights."
    rate = trainer.optimizers[0].param_groups[0]["lr"] if trainer.optimizers else 0.0
    clip = "" if trainer.gradient_clip_val else " or trainer.gradient_clip_val=1"
    return f"Take a lower optimizer.learning_rate (it was {rate:.2g}){clip}, or check these rows."
