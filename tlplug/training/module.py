"""Combine a strategy and a head in a LightningModule."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from lightning.pytorch import LightningModule
from lightning.pytorch.utilities.types import OptimizerLRSchedulerConfig
from torch import nn

from tlplug.errors import UsageError
from tlplug.interfaces import BaseInfo, Batch, Rows, StepOutput, Strategy, TaskHead
from tlplug.models.predict import order_outputs
from tlplug.runtime.distributed import all_reduce_sum, gather
from tlplug.settings import OptimizerSettings

if TYPE_CHECKING:
    from typing import Protocol

    class Recall(Protocol):
        """`frozen.Recall`."""

        def of(self, split: str, batch: Batch) -> AbstractContextManager[None]: ...


class StepMean:
    """The gradient of an optimizer step: that of the mean over all rows, or tokens, of its batches, as the head counts them.

    Lightning divides the loss by the number of batches that are accumulated, and processes average their gradients: means
    over batches, each of which has examples of its own number. So a batch gives its sum, and once the step has all of them
    its gradients are divided by what they weigh together.

    Args:
        batches: of a step, those of all processes; 1: there is nothing to do.
    """

    def __init__(self, batches: int) -> None:
        self.batches = batches
        self.weight = 0.0

    def of(self, output: StepOutput) -> torch.Tensor:
        """Return the value that a batch backpropagates."""
        if self.batches == 1:
            return output.loss
        self.weight += output.num_items
        return output.loss * output.num_items

    def settle(self, parameters: Iterable[nn.Parameter]) -> None:
        """Sums into means; after the last batch of a step, which may be one of fewer."""
        if self.batches == 1:
            return
        gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
        if not gradients:
            return
        weight = all_reduce_sum(self.weight, gradients[0].device)
        torch._foreach_mul_(gradients, self.batches / weight)
        self.weight = 0.0


MAIN = "main"
"""The task's own batches among those of a strategy's streams."""


@dataclass(frozen=True)
class BoundTask:
    """A head with its base model, and the rows that predictions are scored against."""

    head: TaskHead
    base: BaseInfo
    rows: dict[str, Rows]
    """By split: `train`, `validation`, `test`."""


class TransferModule(LightningModule):
    """An adapted model, with its strategy's step and its head's scores.

    Args:
        model: what `strategy.adapt` gave back.
        settings: every field set.
        total_steps: optimizer steps of the whole fit, for the schedule.
    """

    def __init__(
        self,
        model: nn.Module,
        strategy: Strategy,
        task: BoundTask,
        settings: OptimizerSettings,
        total_steps: int,
    ) -> None:
        super().__init__()
        self.model = model
        self.strategy = strategy
        self.head, self.base, self.rows = task.head, task.base, task.rows
        self.settings = settings
        self.total_steps = total_steps
        self.predictions: dict[str, list[dict[str, Any]]] = {}
        """The last predictions of each split, one a row, in the rows' order."""
        self.outputs: dict[str, list[dict[str, Any]]] = {}
        """What they were decoded from."""
        self.scores: dict[str, dict[str, float]] = {}
        """The last scores of each split."""
        self.recall: Recall | None = None
        """What is kept of the strategy's frozen prefix."""
        self.step_mean = StepMean(1)
        self.loss: torch.Tensor | None = None
        """Of the last training batch."""
        self._outputs: list[dict[str, Any]] = []
        # What does not move is the base model's, and quantized weights could not be loaded again.
        self.strict_loading = False
        self._moving = frozenset(self._moves())

    def _moves(self) -> list[str]:
        """Names of what a training changes."""
        held = self.state_dict().keys()
        moving = [name for name, parameter in self.named_parameters() if parameter.requires_grad]
        return moving + [name for name, _ in self.named_buffers() if name in held]

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        kept = {name: tensor for name, tensor in checkpoint["state_dict"].items() if name in self._moving}
        checkpoint["state_dict"], checkpoint["scores"] = kept, self.scores

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Checks what Lightning loads next.

        Raises:
            UsageError: the checkpoint holds other tensors than those that move.
        """
        found = set(checkpoint["state_dict"])
        if found != self._moving:
            raise UsageError(
                "the checkpoint is of another training: it has "
                f"{', '.join(sorted(found - self._moving)[:3]) or 'nothing more'} and lacks "
                f"{', '.join(sorted(self._moving - found)[:3]) or 'nothing'} of what moves here"
            )
        self.scores = checkpoint["scores"]

    def train(self, mode: bool = True) -> TransferModule:
        """Training mode for everything but what runs before the first weight that moves."""
        super().train(mode)
        prefix = self.strategy.frozen_prefix(self.model)
        for module in prefix.modules if prefix is not None else ():
            module.eval()
        return self

    def recalling(self, split: str, batch: Batch) -> AbstractContextManager[None]:
        """While it lasts, what is known of the frozen prefix is not computed again."""
        return nullcontext() if self.recall is None else self.recall.of(split, batch)

    def on_train_start(self) -> None:
        self.step_mean = StepMean(self.trainer.accumulate_grad_batches * self.trainer.world_size)

    def training_step(self, batch: Batch, batch_idx: int) -> torch.Tensor:
        batches = by_stream(batch)
        with self.recalling("train", batches[MAIN]):
            output = self.strategy.training_step(self.model, self.head, batches)
        self.loss = output.loss.detach()
        if self.is_logged:
            for name, value in {"loss": self.loss, **output.logs}.items():
                self.log(f"train/{name}", value, batch_size=len(batches[MAIN]["id"]))
        return self.step_mean.of(output)

    @property
    def is_logged(self) -> bool:
        """Whether somebody is shown this step's values: a log call in each costs more than some steps."""
        every: int = self.trainer.log_every_n_steps  # type: ignore[attr-defined]
        return self.trainer.is_last_batch or (every > 0 and (self.trainer.global_step + 1) % every == 0)

    def on_before_optimizer_step(self, optimizer: torch.optim.Optimizer) -> None:
        self.step_mean.settle(self.parameters())

    def configure_gradient_clipping(
        self,
        optimizer: torch.optim.Optimizer,
        gradient_clip_val: float | None = None,
        gradient_clip_algorithm: str | None = None,
    ) -> None:
        """Clip gradients as Lightning does, also with a fused optimizer under bfloat16 autocast, which Lightning refuses."""
        if not gradient_clip_val:
            return
        if getattr(self.trainer.precision_plugin, "scaler", None) is not None:
            self.clip_gradients(optimizer, gradient_clip_val, gradient_clip_algorithm)
            return
        moving = [parameter for group in optimizer.param_groups for parameter in group["params"]]
        if gradient_clip_algorithm == "value":
            nn.utils.clip_grad_value_(moving, gradient_clip_val)
        else:
            nn.utils.clip_grad_norm_(moving, gradient_clip_val)

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        self._predict("validation", batch)

    def test_step(self, batch: Batch, batch_idx: int) -> None:
        self._predict("test", batch)

    def _predict(self, split: str, batch: Batch) -> None:
        with self.recalling(split, batch):
            self._outputs += self.head.predict(self.model, batch)

    def on_validation_epoch_end(self) -> None:
        self._score("validation")

    def on_test_epoch_end(self) -> None:
        self._score("test")

    def _score(self, split: str) -> None:
        self.outputs[split] = gather(self._outputs)
        self._outputs = []
        outputs, rows = order_outputs(self.outputs[split], self.rows[split])
        self.predictions[split] = self.head.decode(outputs, rows, self.base)
        self.scores[split] = self.head.scores(self.predictions[split], rows)
        logged = {f"{split}/{name}": value for name, value in self.scores[split].items()}
        self.log_dict(logged, rank_zero_only=True)

    def configure_optimizers(self) -> OptimizerLRSchedulerConfig:
        from transformers import get_scheduler

        groups = self.strategy.parameter_groups(self.model, self.settings)
        optimizer = self.strategy.optimizer(groups, self.settings)
        warmup = round((self.settings.warmup or 0.0) * self.total_steps)
        schedule = get_scheduler(self.settings.schedule, optimizer, warmup, self.total_steps)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


def by_stream(batch: Batch) -> Mapping[str, Batch]:
    """Batches by the streams' names; where there are no further streams, the loader gives the task's batch alone."""
    return batch if MAIN in batch else {MAIN: batch}
