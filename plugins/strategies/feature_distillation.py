"""Fine-tune all weights and keep the trunk's features near the base model's."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from tlplug import OPTIONAL, AdaptContext, Batch, StepOutput, TaskHead
from tlplug_plugins.strategies.bases.feature_alignment import (
    features_of,
    mean_pooled,
    step_and_call,
    trunk,
)
from tlplug_plugins.strategies.full import Full

if TYPE_CHECKING:
    from torch import nn

DISTANCES = ("squared", "cosine")


class FeatureDistillation(Full):
    """Full fine-tuning that keeps the features of given texts near the base model's.

    loss + weight * d(f, f0) with f [B, D] the means of the trunk's last hidden states over the real tokens of B texts, and
    f0 those of a frozen copy of the base model, in eval mode. d is `squared`, the mean of (f - f0)^2 over B and D, or
    `cosine`, the mean of 1 - cos(f, f0) over B. The texts are `transfer.source_domain`, unlabelled: such as the base model
    must go on to understand. Without it they are the task's own, the only ones that Li & Hoiem 2018 ("Learning without
    forgetting") have; they hold the outputs, Jung et al. 2016 ("Less-forgetting learning in deep neural networks") the
    features. Of an encoder-decoder the features are the encoder's; the decoder is free.

    Take it where the adapted model has to stay good at other texts, and some of these are available; most of the gain of
    full fine-tuning remains. Not where only the task counts, or memory is short: the frozen copy takes the memory of the
    trunk again and a forward pass a step, and `transfer.source_domain` another pass.
    """

    extra_data: ClassVar = {"source": OPTIONAL}

    @dataclass
    class Config(Full.Config):
        weight: float = 1.0
        """The weight of the distance in the loss."""
        distance: str = "squared"
        """`squared` or `cosine`."""

        def __post_init__(self) -> None:
            super().__post_init__()
            if self.weight < 0.0:
                raise ValueError(f"weight is {self.weight}; it must be at least 0")
            if self.distance not in DISTANCES:
                raise ValueError(f"distance is {self.distance!r}; it must be one of {', '.join(DISTANCES)}")

    teacher: nn.Module
    """A frozen copy of the base model's trunk; no part of the model, so it is not saved."""

    def adapt(self, model: nn.Module, context: AdaptContext) -> nn.Module:
        # In float32, as the trainable weights: in another dtype the features would differ before any training.
        self.teacher = copy.deepcopy(trunk(model)).to(context.device).float().eval().requires_grad_(False)
        return super().adapt(model, context)

    def training_step(self, model: nn.Module, head: TaskHead, batches: Mapping[str, Batch]) -> StepOutput:
        import torch

        from tlplug_plugins.strategies.layers.features import FROM_FEATURES

        main, source = batches["main"], batches.get("source")
        step, call = step_and_call(model, head, main)
        with torch.no_grad():
            if source is None:
                before = mean_pooled(self.teacher(*call.arguments, **call.keywords), head.mask(main))
            else:
                before = features_of(self.teacher, head, source)
        after = call.pooled(head, main) if source is None else features_of(trunk(model), head, source)
        distance = FROM_FEATURES[self.config.distance](after, before)
        logs = {**step.logs, "feature_distance": distance.item()}
        return StepOutput(step.loss + self.config.weight * distance, step.num_items, logs)
