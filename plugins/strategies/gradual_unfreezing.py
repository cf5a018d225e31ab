"""Unfreeze the blocks one after another."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Optional

from tlplug import BaseInfo, Capabilities, OptimizerSettings, TaskHead
from tlplug_plugins.strategies.full import Full, require_depths

if TYPE_CHECKING:
    from lightning.pytorch import Callback


class GradualUnfreezing(Full):
    """Gradual unfreezing: the head first, then one block more at a time.

    ULMFiT (Howard & Ruder 2018). Of n blocks, stage 0 trains the modules above them; stage s also the top s, and stage n + 1
    the embeddings too. Each depth has its own rate, as with `full` and its `layer_decay`; the paper's is 1 / 2.6, for a
    model of three layers. A stage lasts `every_steps` optimizer steps or, where that is null, until a validation whose
    score is not the best so far. Dropout is on everywhere, as in the paper. A frozen block costs no backward pass.

    Take it with few rows, where a random head's first gradients would spoil the blocks below it, or to see
    how deep the task has to reach. Not where the schedule is short: blocks that are unfrozen late are hardly trained. With
    `every_steps=null` it needs several validations an epoch (`trainer.val_check_interval=0.25`).
    """

    contract = 1
    optimizer_defaults = OptimizerSettings(
        learning_rate=2e-4, weight_decay=0.01, schedule="linear", warmup=0.1
    )
    capabilities = Capabilities(changes_trainable_weights=True)

    @dataclass
    class Config(Full.Config):
        layer_decay: float = 0.8
        every_steps: Optional[int] = None  # noqa: UP045
        """Optimizer steps of a stage; null: the validation score decides."""

        def __post_init__(self) -> None:
            super().__post_init__()
            if self.every_steps is not None and self.every_steps < 1:
                raise ValueError(f"every_steps is {self.every_steps}; it must be at least 1, or null")

    def why_incompatible(self, head: TaskHead, base: BaseInfo | None = None) -> str | None:
        return None if base is None else require_depths(base)

    def callbacks(self) -> list[Callback]:
        from tlplug_plugins.strategies.layers.unfreezing import UnfreezeCallback

        return [UnfreezeCallback(self.config.every_steps)]
