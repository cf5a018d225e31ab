"""Prepare the case that a strategy is checked on."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import torch

from tlplug.data.datamodule import TransferData
from tlplug.data.features import encode
from tlplug.interfaces import REQUIRED, BaseInfo, Strategy
from tlplug.models.precision import HALF_PRECISION
from tlplug.settings import DataSettings, OptimizerSettings, TrainerSettings
from tlplug.testing import tiny_models as tiny
from tlplug.testing.adapted import BATCH, EPOCHS, AdaptedModel, TrainingLog
from tlplug.testing.check import CheckFailure, CheckSkipped
from tlplug.testing.combinations import HeadAndKind, drop_columns, list_combinations, refusal
from tlplug.testing.tensors import add_noise, disable_dropout, seed
from tlplug.training.fit import Prepared, build_module


class StrategyCase:
    """A strategy with the head and base model for its checks.

    Args:
        head: name of a built-in head; by default the first that the strategy supports.
        kind: kind of base model; by default the first that the strategy supports.
        fields: fields of the strategy's Config.
    """

    kind_of_plugin = "strategy"

    def __init__(
        self, plugin: type[Strategy], head: str | None = None, kind: str | None = None, **fields: Any
    ) -> None:
        self.plugin = plugin
        self.head, self.kind = head, kind
        self.fields = fields

    def without_models(self) -> StrategyCase:
        """Return the case without its cached models, for another process."""
        return StrategyCase(self.plugin, self.combination.name, self.combination.kind, **self.fields)

    def strategy(self) -> Strategy:
        return self.plugin(self.plugin.Config(**self.fields))

    @cached_property
    def combination(self) -> HeadAndKind:
        """The head and kind of base model."""
        refusals = {}
        for combination in list_combinations():
            if self.head in (None, combination.name) and self.kind in (None, combination.kind):
                reason = refusal(self.strategy(), combination.head, combination.base)
                if reason is None:
                    return combination
                refusals[str(combination)] = reason
        reasons = (
            "; ".join(f"{name}: {reason}" for name, reason in refusals.items()) or "no such head or kind"
        )
        raise CheckFailure(f"it supports no head and base model of the kit: {reasons}")

    def require_training(self) -> None:
        if not self.plugin.capabilities.trains:
            raise CheckSkipped("capabilities.trains is False")

    def require_compatible(self, **changes: Any) -> None:
        """Require that the strategy supports the base model with other fields.

        Raises:
            CheckSkipped: `why_incompatible` rejects it.
        """
        base = tiny.base(self.combination.kind, **changes)
        if reason := self.strategy().why_incompatible(self.combination.head, base):
            raise CheckSkipped(f"why_incompatible: {reason}")

    def task(self, base: BaseInfo, combination: HeadAndKind, batch_size: int = BATCH) -> Prepared:
        """Encode the rows of a combination; the strategy's extra data are the test rows without targets."""
        head = combination.head
        features = {
            split: encode(head, rows, base, split == "train") for split, rows in combination.rows.items()
        }
        unlabelled = encode(head, drop_columns(combination.rows["test"], head.targets), base, False)
        required = [name for name, need in self.plugin.extra_data.items() if need is REQUIRED]
        data = TransferData(
            features=features,
            head=head,
            base=base,
            settings=DataSettings(batch_size=batch_size, batching="rows"),
            seed=0,
            streams=dict.fromkeys(required, unlabelled),
        )
        precision = "bf16-mixed" if base.dtype in HALF_PRECISION else "32-true"
        trainer = TrainerSettings(accelerator="cpu", devices=1, precision=precision)
        return Prepared(head, base, dict(combination.rows), data, trainer, seed=0)

    def adapt(
        self,
        combination: HeadAndKind | None = None,
        dropout: bool = True,
        batch_size: int = BATCH,
        epochs: int = EPOCHS,
        settings: OptimizerSettings | None = None,
        **changes: Any,
    ) -> AdaptedModel:
        """Load and adapt a model in training mode, with the same weights each time.

        Args:
            dropout: whether the model has dropout.
            epochs: length of the learning rate's schedule.
            changes: fields of `BaseInfo`.
        """
        combination, strategy = combination or self.combination, self.strategy()
        task = self.task(tiny.base(combination.kind, dropout, **changes), combination, batch_size)
        steps = epochs * task.data.steps_per_epoch(1)
        seed(task.seed)
        module = build_module(task, strategy, settings or OptimizerSettings(), torch.device("cpu"), steps)
        if not dropout:
            disable_dropout(module.model)
        return AdaptedModel(module, task)

    @cached_property
    def fitted(self) -> tuple[AdaptedModel, TrainingLog]:
        """The model after a short training run, with the log of that run."""
        self.require_training()
        adapted = self.adapt()
        return adapted, adapted.fit()

    @cached_property
    def noisy(self) -> AdaptedModel:
        """The model after a short training run, with noise on all trainable weights, so that a lost weight is noticed."""
        if not self.plugin.capabilities.trains:
            return self.adapt()
        adapted = self.adapt()
        adapted.fit(cache_prefix=False)
        add_noise(adapted.model)
        return adapted

    @property
    def tolerance(self) -> float:
        """The tolerance for equal outputs; quantized weights are packed differently for inference."""
        return 2e-2 if self.strategy().load_options(self.combination.head).quantization is not None else 1e-4

    @cached_property
    def incomparable_reason(self) -> str | None:
        """The reason why steps over parts of a batch may differ from a step over the whole batch."""
        adapted = self.adapt(dropout=False)
        one, weight = adapted.gradients(number=0)
        other, _ = adapted.gradients(number=1)
        if any(not torch.equal(one[name], other[name]) for name in one):
            return "its steps draw random numbers even without dropout"
        half = range(BATCH // 2)
        if adapted.gradients(adapted.batches(*half))[1] * 2 != weight:
            return f"the halves of a batch of {self.combination.name} have different weights"
        return None
