"""Adapt a tiny model with a strategy, and observe its training."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import nn

from tlplug.data.datamodule import TransferData
from tlplug.interfaces import Batch, Strategy, TaskHead
from tlplug.models.precision import autocast
from tlplug.runtime.console import Reporter
from tlplug.testing.tensors import Tensors, seed
from tlplug.training.fit import Prepared
from tlplug.training.module import TransferModule
from tlplug.training.prefix_cache.compute import ComputeOnce
from tlplug.training.trainer import adjust_for_strategy, build_trainer


class TrainingLog(Callback):
    """A log of the trainable weights, the modules in eval mode and the loss at each step; seeds each step by its number."""

    def __init__(self) -> None:
        self.trainable_names: list[frozenset[str]] = []
        """The names of the parameters with `requires_grad` at each step."""
        self.eval_modules: list[frozenset[str]] = []
        """The names of the modules in eval mode at each step."""
        self.losses: list[float] = []

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int
    ) -> None:
        seed(trainer.global_step)
        model: torch.nn.Module = pl_module.model  # type: ignore[assignment]
        self.trainable_names.append(
            frozenset(name for name, p in model.named_parameters() if p.requires_grad)
        )
        self.eval_modules.append(frozenset(name for name, m in model.named_modules() if not m.training))

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        self.losses.append(float(outputs["loss"]))


BATCH, EPOCHS = 8, 3


@dataclass(frozen=True)
class AdaptedModel:
    """A strategy's model, in the module that trains it."""

    module: TransferModule
    task: Prepared

    @property
    def model(self) -> nn.Module:
        return self.module.model

    @property
    def strategy(self) -> Strategy:
        return self.module.strategy

    @property
    def head(self) -> TaskHead:
        return self.module.head

    @property
    def data(self) -> TransferData:
        return self.task.data

    def precision(self) -> AbstractContextManager[object]:
        """Return the context of the training run's precision, the same on every machine."""
        return autocast(self.task.trainer.precision, torch.device("cpu"))

    def batches(self, *rows: int) -> dict[str, Batch]:
        """Return a batch of the given training rows, or of the first ones, for each stream."""
        streams = {"main": self.data.features["train"], **self.data.streams}
        return {
            name: self.data.collate([dict(features[row % len(features)]) for row in rows or range(BATCH)])
            for name, features in streams.items()
        }

    def step(self, batches: Mapping[str, Batch] | None = None, number: int = 0) -> tuple[float, float]:
        """Run the strategy's training step with a backward pass; return its loss and weight."""
        seed(number)
        with self.precision():
            output = self.strategy.training_step(self.model, self.head, batches or self.batches())
        output.loss.backward()  # type: ignore[no-untyped-call]
        return output.loss.item(), output.num_items

    def gradients(self, batches: Mapping[str, Batch] | None = None, number: int = 0) -> tuple[Tensors, float]:
        """Return the gradients of the trainable weights, and the weight of the step."""
        self.module.zero_grad()
        _, weight = self.step(batches, number)
        gradients = {
            name: p.grad.detach().clone() for name, p in self.model.named_parameters() if p.grad is not None
        }
        self.module.zero_grad()
        return gradients, weight

    def optimizer(self) -> torch.optim.Optimizer:
        """Return the strategy's optimizer without a schedule."""
        settings = self.module.settings
        return self.strategy.optimizer(self.strategy.parameter_groups(self.model, settings), settings)

    def outputs(self, model: nn.Module | None = None) -> list[Any]:
        """Return a model's outputs for test rows and its loss over training rows; by default of the adapted model."""
        model = (self.model if model is None else model).eval()
        features = self.data.features["test"]
        batch = self.data.collate([dict(features[row]) for row in range(min(BATCH, len(features)))])
        seed(0)
        with torch.inference_mode(), self.precision():
            outputs = self.head.predict(model, batch)
            loss = self.head.training_step(model, self.batches()["main"]).loss.item()
        self.module.train()
        return [*outputs, loss]

    def plain_trainer(self, *callbacks: Callback, **options: Any) -> Trainer:
        """Return Lightning's Trainer with the strategy's callbacks and without logs.

        Args:
            options: arguments of the Trainer.
        """
        defaults: dict[str, Any] = {
            "accelerator": "cpu",
            "devices": 1,
            "logger": False,
            "use_distributed_sampler": False,
            "num_sanity_val_steps": 0,
            "enable_progress_bar": False,
            "enable_model_summary": False,
            "enable_checkpointing": False,
        }
        own = [TrainingLog(), *self.strategy.callbacks(), *callbacks]
        return Trainer(**{**defaults, **options}, callbacks=own)

    def fit(self, *callbacks: Callback, cache_prefix: bool = True, epochs: int = EPOCHS) -> TrainingLog:
        """Train for a few epochs with a validation in each.

        Args:
            cache_prefix: whether to cache the output of a frozen prefix, if that is possible.
        """
        caching = [ComputeOnce(self.strategy, self.data, Reporter())] if cache_prefix else []
        settings = replace(self.task.trainer, max_epochs=epochs)
        trainer = build_trainer(
            adjust_for_strategy(self.strategy, settings),
            [],
            [log := TrainingLog(), *caching, *callbacks, *self.strategy.callbacks()],
            self.task.base.dtype,
        )
        trainer.fit(self.module, datamodule=self.data)
        return log
