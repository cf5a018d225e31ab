"""Blocks that begin to move one after another."""

from __future__ import annotations

import logging
from collections import defaultdict
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.trainer.states import TrainerFn
from torch import nn

from tlplug import UsageError, parameter_depths

log = logging.getLogger(__name__)


class Thawing(Callback):
    """At first only what lies above the blocks moves, then from the top down one block more at each stage.

    Frozen parameters stay in the optimizer: they have no gradient, and are passed over, weight decay and all.

    Args:
        every_steps: optimizer steps of a stage; None: a stage ends with the first validation whose score is not the
            best so far.
    """

    def __init__(self, every_steps: int | None) -> None:
        self.every_steps = every_steps
        self.stage = 0
        """How many have been added to what moved at first."""
        self.best: float | None = None
        """The best validation score, the higher the better."""
        self.layers: list[list[nn.Parameter]] = []
        """What each stage adds."""

    def state_dict(self) -> dict[str, Any]:
        return {"stage": self.stage, "best": self.best}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.stage, self.best = state_dict["stage"], state_dict["best"]

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """After the optimizer was made and the processes know each other's parameters: both need all of them."""
        if self.every_steps is None and not trainer.limit_val_batches:
            raise UsageError(
                "trainer.limit_val_batches=0: without a validation score, the strategy needs strategy.every_steps"
            )
        self.layers = from_the_top(pl_module.model)
        self._freeze()

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Between optimizer steps: a step's gradient is that of all its batches."""
        if batch_idx % trainer.accumulate_grad_batches:
            return
        if self.every_steps is not None:
            self.stage = min(trainer.global_step // self.every_steps, len(self.layers) - 1)
        self._freeze()

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self.every_steps is not None or trainer.state.fn != TrainerFn.FITTING:
            return
        score = pl_module.scores["validation"][pl_module.head.primary_score]
        score = score if pl_module.head.higher_is_better else -score
        if self.best is None or score > self.best:
            self.best = score
        elif self.stage < len(self.layers) - 1:
            self.stage += 1
            log.info("the score did not rise: stage %d of %d", self.stage, len(self.layers) - 1)

    def _freeze(self) -> None:
        for stage, layer in enumerate(self.layers):
            for parameter in layer:
                parameter.requires_grad = stage <= self.stage


def from_the_top(model: nn.Module) -> list[list[nn.Parameter]]:
    """The parameters by their depth, the topmost first."""
    found: dict[int, list[nn.Parameter]] = defaultdict(list)
    for name, depth in parameter_depths(model).items():
        found[depth].append(model.get_parameter(name))
    return [found[depth] for depth in sorted(found, reverse=True)]
