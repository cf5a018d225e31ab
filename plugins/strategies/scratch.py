"""Train the same architecture from random weights."""

from __future__ import annotations

from dataclasses import replace

from tlplug import LoadOptions, OptimizerSettings, TaskHead
from tlplug_plugins.strategies.full import Full


class Scratch(Full):
    """Train all weights from random values, as a run without transfer.

    It is what negative transfer is measured against (Wang et al. 2019, "Characterizing and avoiding negative
    transfer"), at a rate that suits random weights; no method to adapt a model with.
    """

    optimizer_defaults = OptimizerSettings(
        learning_rate=3e-4, weight_decay=0.01, schedule="linear", warmup=0.1
    )

    def load_options(self, head: TaskHead) -> LoadOptions:
        return replace(super().load_options(head), random_weights=True)
