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
from tlplug.training.out_of_memory import BatchSeen, explained
from tlplug.training.plugin_errors import naming_plugins

if TYPE_CHECKING:
    from torch import nn

BATCHES = 8
"""Batches between two questions of several processes: each question makes a GPU wait."""
PLACES, IDS = 3, 64
"""Rows whose place in the data is told, and whose ids are."""


@dataclass(frozen=True)
class Step:
    """The loss of one batch, of which it is not yet known whether it is a number."""

    number: int
    """Of the optimizer step that the batch belongs to, from 1 on."""
    epoch: int
    batch: int
    ids: torch.Tensor
    """int64 [B], of the task's own rows in the batch."""
    loss: torch.Tensor
    finite: torch.Tensor
    """bool scalar on the CPU, which is right once `done` has passed."""
    done: torch.cuda.Event | None

    @classmethod
    def begun(cls, trainer: Trainer, loss: torch.Tensor, batch: Any, index: int, number: int) -> Step:
        # On a GPU the answer is sent on its way, and is read when the next batch has been queued behind it.
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


@dataclass(frozen=True)
class Found:
    """What was found not to be a number, in plain types: processes send it to each other."""

    what: str
    step: int
    epoch: int
    batch: int
    ids: list[int]


class StopOnNonFinite(Callback):
    """Ends a fit whose loss is NaN or infinite, with the step and the ids of the batch's rows.

    A batch's loss is looked at after the next one, and all of them before a validation, before a checkpoint and at the
    end, together with the weights that move: none that is not finite is ever kept or scored. Gradients may be infinite:
    with float16, the loss scale is found that way.

    Raises:
        TrainingFailed: in all processes, also where one alone saw it.
    """

    def __init__(self) -> None:
        self._step = 0
        self._waiting: list[Step] = []
        self._last: Step | None = None
        self._found: Found | None = None

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int
    ) -> None:
        self._step = trainer.global_step + 1

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        self._look()
        if outputs:
            self._last = Step.begun(trainer, outputs["loss"], batch, batch_idx, self._step)
            self._waiting.append(self._last)
        if trainer.world_size == 1 or batch_idx % BATCHES == 0:
            self._agree(trainer, pl_module)

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.state.fn == TrainerFn.FITTING:
            self.settle(trainer, pl_module)

    def on_save_checkpoint(
        self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        self.settle(trainer, pl_module)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.settle(trainer, pl_module)

    def settle(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Look at all that there is, and wait for it."""
        self._look()
        if self._found is None and self._last is not None and (name := broken_weight(pl_module)):
            self._found = found(f"{name} is no longer finite", self._last)
        self._agree(trainer, pl_module)

    def _look(self) -> None:
        for step in self._waiting:
            if self._found is None and not step.is_finite():
                self._found = found(f"the loss is {float(step.loss)}", step)
        self._waiting.clear()

    def _agree(self, trainer: Trainer, pl_module: LightningModule) -> None:
        reported = [each for each in gather([self._found]) if each is not None]
        if reported:
            first = min(reported, key=lambda each: each.step)
            raise TrainingFailed(told(first, trainer, pl_module) if rank() == 0 else "")


def found(what: str, step: Step) -> Found:
    return Found(what, step.number, step.epoch, step.batch, step.ids.tolist())


def broken_weight(module: nn.Module) -> str | None:
    """Return the name of the first trainable weight with a NaN or an infinity, with one synchronization of a GPU."""
    moving = {name: p.detach() for name, p in module.named_parameters() if p.requires_grad}
    if not moving:
        return None
    sums = torch.stack([value.sum(dtype=torch.float32).cpu() for value in moving.values()])
    suspects = [name for name, fine in zip(moving, sums.isfinite().tolist(), strict=True) if not fine]
    return next((name for name in suspects if not torch.isfinite(moving[name]).all()), None)


def told(found: Found, trainer: Trainer, module: Any) -> str:
    """Return the message for the user."""
    steps = f"step {found.step} of {module.total_steps}"
    return (
        f"{found.what} in {steps} (epoch {found.epoch}, batch {found.batch}). The batch has the training rows with the "
        f"ids {listed(found.ids)}{places(found.ids, module.rows.get('train', ()))}. {advice(found.step, trainer)} "
        "No checkpoint was written since; those from before are as they were."
    )


def listed(ids: list[int]) -> str:
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
    """Return what would help."""
    if str(trainer.precision).startswith("16"):
        return "float16 overflows above 65504: trainer.precision=bf16-mixed or 32-true."
    if step == 1:
        return "No weight had moved by then: look at these rows, and at the base model's own weights."
    rate = trainer.optimizers[0].param_groups[0]["lr"] if trainer.optimizers else 0.0
    clip = "" if trainer.gradient_clip_val else " or trainer.gradient_clip_val=1"
    return f"Take a lower optimizer.learning_rate (it was at {rate:.2g}){clip}, or look at these rows."


__all__ = ["BatchSeen", "StopOnNonFinite", "explained", "naming_plugins"]
