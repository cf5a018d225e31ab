"""Unfreeze blocks one after another during training."""

from __future__ import annotations

import logging
from collections import defaultdict
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.trainer.states import TrainerFn
from torch import nn

from tlplug import UsageError, parameter_depths

log = logging.getLogger(__name__)


class UnfreezeCallback(Callback):
    """Train only what lies above the blocks at first, and one block more, from the top down, at each stage.

    Frozen parameters stay in the optimizer, which skips them, since they have no gradient.

    Args:
        every_steps: optimizer steps of a stage; None: a stage ends with the first validation whose score is not the
            best so far.
    """

    def __init__(self, every_steps: int | None) -> None:
        self.every_steps = every_steps
        self.stage = 0
        """The number of layers unfrozen since the start."""
        self.best: float | None = None
        """The best validation score; higher is better."""
        self.layers: list[list[nn.Parameter]] = []
        """The parameters that each stage unfreezes."""

    def state_dict(self) -> dict[str, Any]:
        return {"stage": self.stage, "best": self.best}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.stage, self.best = state_dict["stage"], state_dict["best"]

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Freeze the layers, after the optimizer and DDP have been set up with all parameters."""
        if self.every_steps is None and not trainer.limit_val_batches:
            raise UsageError(
                "trainer.limit_val_batches=0: without a validation score, the strategy needs strategy.every_steps"
            )
        self.layers = parameters_by_depth(pl_module.model)
        self._freeze()

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Advance the stage between optimizer steps, never within the batches of one."""
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


def parameters_by_depth(model: nn.Module) -> list[list[nn.Parameter]]:
    """Return the parameters of each depth, the topmost first."""
    layers: dict[int, list[nn.Parameter]] = defaultdict(list)
    for name, depth in parameter_depths(model).items():
        layers[depth].append(model.get_parameter(name))
    return [layers[depth] for depth in sorted(layers, reverse=True)]
