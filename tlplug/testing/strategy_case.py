"""What a strategy is checked on."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import torch

from tlplug.data.datamodule import TransferData
from tlplug.data.features import encode
from tlplug.interfaces import REQUIRED, BaseInfo, Strategy
from tlplug.models.precision import HALF_PRECISION
from tlplug.settings import OptimizerSettings, TrainerSettings
from tlplug.testing import tiny_models as tiny
from tlplug.testing.adapted import BATCH, EPOCHS, AdaptedModel, TrainingLog
from tlplug.testing.check import CheckFailure, CheckSkipped
from tlplug.testing.combinations import HeadAndKind, cells, drop_columns, refusal
from tlplug.testing.tensors import add_noise, disable_dropout, seed
from tlplug.training.fit import Prepared, module_for


class StrategyCase:
    """A strategy, and where it is tried.

    Args:
        head: name of a built-in head; the first that the strategy works with where none is given.
        kind: of base model; likewise.
        fields: of its Config.
    """

    kind_of_plugin = "strategy"

    def __init__(
        self, plugin: type[Strategy], head: str | None = None, kind: str | None = None, **fields: Any
    ) -> None:
        self.plugin = plugin
        self.head, self.kind = head, kind
        self.fields = fields

    def strategy(self) -> Strategy:
        return self.plugin(self.plugin.Config(**self.fields))

    @cached_property
    def cell(self) -> HeadAndKind:
        """The head and kind of base model."""
        told = {}
        for cell in cells():
            if self.head in (None, cell.name) and self.kind in (None, cell.kind):
                told[str(cell)] = refusal(self.strategy(), cell.head, cell.base)
                if told[str(cell)] is None:
                    return cell
        reasons = "; ".join(f"{where}: {why}" for where, why in told.items()) or "no such head or kind"
        raise CheckFailure(f"there is nothing that it works on: {reasons}")

    def require_training(self) -> None:
        if not self.plugin.capabilities.trains:
            raise CheckSkipped("capabilities.trains is False: nothing moves")

    def require_compatible(self, **changes: Any) -> None:
        """Ask `why_incompatible` of the base model with other fields, as the core does before it loads one.

        Raises:
            CheckSkipped: it is refused, in words.
        """
        base = tiny.base(self.cell.kind, **changes)
        if reason := self.strategy().why_incompatible(self.cell.head, base):
            raise CheckSkipped(f"why_incompatible: {reason}")

    def task(self, base: BaseInfo, cell: HeadAndKind, batch_size: int = BATCH) -> Prepared:
        """The rows, encoded; extra data are the same rows without what is to be predicted."""
        head = cell.head
        features = {split: encode(head, rows, base, split == "train") for split, rows in cell.rows.items()}
        unlabelled = encode(head, drop_columns(cell.rows["test"], head.targets), base, False)
        required = [name for name, need in self.plugin.extra_data.items() if need is REQUIRED]
        data = TransferData(
            **features,
            head=head,
            base=base,
            batch_size=batch_size,
            batching="rows",
            tokens_per_batch=None,
            seed=0,
            streams=dict.fromkeys(required, unlabelled),
            num_workers=0,
        )
        precision = "bf16-mixed" if base.dtype in HALF_PRECISION else "32-true"
        trainer = TrainerSettings(accelerator="cpu", devices=1, precision=precision)
        return Prepared(head, base, dict(cell.rows), data, trainer, seed=0)

    def made(
        self,
        cell: HeadAndKind | None = None,
        dropout: bool = True,
        batch_size: int = BATCH,
        epochs: int = EPOCHS,
        settings: OptimizerSettings | None = None,
        **changes: Any,
    ) -> AdaptedModel:
        """Freshly loaded and adapted, in training mode; the same each time.

        Args:
            dropout: whether there is any.
            epochs: over which the rate's schedule runs.
            changes: fields of `BaseInfo`.
        """
        cell, strategy = cell or self.cell, self.strategy()
        task = self.task(tiny.base(cell.kind, dropout, **changes), cell, batch_size)
        steps = epochs * task.data.steps_per_epoch(1)
        seed(task.seed)
        module = module_for(task, strategy, settings or OptimizerSettings(), torch.device("cpu"), steps)
        if not dropout:
            disable_dropout(module.model)
        return AdaptedModel(module, task)

    @cached_property
    def fitted(self) -> tuple[AdaptedModel, TrainingLog]:
        """After a short training."""
        self.require_training()
        made = self.made()
        return made, made.fit()

    @cached_property
    def shaken(self) -> AdaptedModel:
        """After a short training, with noise on all that moves then: whatever is lost of it shows."""
        if not self.plugin.capabilities.trains:
            return self.made()
        made = self.made()
        made.fit(keep=False)
        add_noise(made.model)
        return made

    @property
    def tolerance(self) -> float:
        """Of outputs that have to be equal; quantized weights are packed differently for inference."""
        return 2e-2 if self.strategy().load_options(self.cell.head).quantization is not None else 1e-4

    @cached_property
    def not_comparable(self) -> str | None:
        """Why steps over parts of a batch need not add up to one over the whole of it."""
        made = self.made(dropout=False)
        one, weight = made.gradients(number=0)
        other, _ = made.gradients(number=1)
        if any(not torch.equal(one[name], other[name]) for name in one):
            return "its steps draw at random, even with dropout off"
        half = range(BATCH // 2)
        if made.gradients(made.batches(*half))[1] * 2 != weight:
            return f"the halves of a batch of {self.cell.name} do not weigh the same"
        return None
