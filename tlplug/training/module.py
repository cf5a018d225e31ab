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
    from tlplug.training.prefix_cache.store import Recall


class StepMean:
    """Makes the gradient of a step that of the mean over all rows, or tokens, of its batches, as the head counts them.

    Lightning divides the loss by the number of accumulated batches, and processes average their gradients, whatever the
    sizes of the batches. So a batch returns its sum, and the gradients are divided by the total weight before the step.

    Args:
        batches: the number of batches in a step, over all processes; with 1 nothing is changed.
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

    def normalize(self, parameters: Iterable[nn.Parameter]) -> None:
        """Divide the gradients by the total weight, after the last batch of a step."""
        if self.batches == 1:
            return
        gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
        if not gradients:
            return
        weight = all_reduce_sum(self.weight, gradients[0].device)
        torch._foreach_mul_(gradients, self.batches / weight)
        self.weight = 0.0


MAIN = "main"
"""The stream of the task's own batches."""


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
        model: the result of `strategy.adapt`.
        settings: every field set.
        total_steps: the number of optimizer steps, for the schedule.
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
        """The outputs that `predictions` were decoded from."""
        self.scores: dict[str, dict[str, float]] = {}
        """The last scores of each split."""
        self.recall: Recall | None = None
        """The stored output of the strategy's frozen prefix."""
        self.step_mean = StepMean(1)
        self.loss: torch.Tensor | None = None
        """The loss of the last training batch."""
        self._outputs: list[dict[str, Any]] = []
        # Frozen weights come from the base model, and quantized ones cannot be loaded from a checkpoint.
        self.strict_loading = False
        saved = self.state_dict().keys()
        self._trained = frozenset(
            [name for name, parameter in self.named_parameters() if parameter.requires_grad]
            + [name for name, _ in self.named_buffers() if name in saved]
        )
        """Names of the tensors that training changes."""

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        state = checkpoint["state_dict"]
        checkpoint["state_dict"] = {name: tensor for name, tensor in state.items() if name in self._trained}
        checkpoint["scores"] = self.scores

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Check the names of the tensors before Lightning loads them.

        Raises:
            UsageError: the checkpoint holds other tensors than the trained ones.
        """
        stored = set(checkpoint["state_dict"])
        if stored != self._trained:
            raise UsageError(
                "the checkpoint is of another training: it has "
                f"{', '.join(sorted(stored - self._trained)[:3]) or 'nothing more'} and lacks "
                f"{', '.join(sorted(self._trained - stored)[:3]) or 'nothing'} of the tensors trained here"
            )
        self.scores = checkpoint["scores"]

    def train(self, mode: bool = True) -> TransferModule:
        """Set training mode, except for the strategy's frozen prefix."""
        super().train(mode)
        prefix = self.strategy.frozen_prefix(self.model)
        for module in prefix.modules if prefix is not None else ():
            module.eval()
        return self

    def recalling(self, split: str, batch: Batch) -> AbstractContextManager[None]:
        """Use the stored output of the frozen prefix for a batch, if there is one."""
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
        """Whether this step's values are logged: logging each step would cost more than some steps."""
        every: int = self.trainer.log_every_n_steps  # type: ignore[attr-defined]
        return self.trainer.is_last_batch or (every > 0 and (self.trainer.global_step + 1) % every == 0)

    def on_before_optimizer_step(self, optimizer: torch.optim.Optimizer) -> None:
        self.step_mean.normalize(self.parameters())

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
        parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
        if gradient_clip_algorithm == "value":
            nn.utils.clip_grad_value_(parameters, gradient_clip_val)
        else:
            nn.utils.clip_grad_norm_(parameters, gradient_clip_val)

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
    """Return the batches by stream; without extra data the loader yields the task's batch alone."""
    return batch if MAIN in batch else {MAIN: batch}
