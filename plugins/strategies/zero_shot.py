"""Train nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tlplug import AdaptContext, Capabilities, OptimizerSettings, Strategy

if TYPE_CHECKING:
    from torch import nn


class ZeroShot(Strategy):
    """Train nothing: the base model answers by itself.

    What the base model does with the task's prompt and no training (Radford et al. 2019): the baseline of heads that
    use the base model's own output, such as `summarization`. A head with modules of its own has nothing to start from.
    """

    contract = 1
    optimizer_defaults = OptimizerSettings(
        learning_rate=0.0, weight_decay=0.0, schedule="constant", warmup=0.0
    )
    capabilities = Capabilities(trains=False)

    def adapt(self, model: nn.Module, context: AdaptContext) -> nn.Module:
        return model.requires_grad_(False)
