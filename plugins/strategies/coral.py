"""Fine-tune all weights and align the covariances of the features with another domain's."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tlplug import Batch, StepOutput, TaskHead, UsageError
from tlplug_plugins.strategies.bases.feature_alignment import DomainAdaptation

if TYPE_CHECKING:
    import torch
    from torch import nn


class Coral(DomainAdaptation):
    """Full fine-tuning that aligns the features' covariances with another domain's.

    loss + weight ||C_s - C_t||_F^2 / (4 D^2) with C_s, C_t [D, D] the covariances of the features [B, D] of the task's
    batch and of an unlabelled one from `data.target_domain` (Sun & Saenko 2016, "Deep CORAL"). Features are what the head is
    given to classify a text by: of encoders mostly the pooled first token, of decoders the last real token's state.
    The run is scored on the target's test rows.

    Take it where the texts to be classified are of another kind than those with labels, and there are many of them
    without labels. Not where the shares of the classes differ much between the two, which aligning hides, nor with
    small batches, whose covariances are mostly noise. Look at `train/coral`: too large a weight makes all features
    alike, and nothing is learnt.
    """

    @dataclass
    class Config(DomainAdaptation.Config):
        weight: float = 1000.0
        """The weight of the distance in the loss. The distance is a mean over D^2 small numbers: at this weight it is about
        a hundredth of the task's loss for features of MiniLM."""

    def training_step(self, model: nn.Module, head: TaskHead, batches: Mapping[str, Batch]) -> StepOutput:
        step, source, target = self.step_and_features(model, head, batches)
        distance = self.distance(source, target)
        logs = {**step.logs, "coral": distance.item()}
        return StepOutput(step.loss + self.config.weight * distance, step.num_items, logs)

    def distance(self, source: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """Return the CORAL distance; 0 if the source has one row, as an epoch's last batch may have."""
        from tlplug_plugins.strategies.layers.features import coral

        if len(target) < 2:
            raise UsageError("coral compares covariances within a batch; set data.batch_size to 2 or more")
        return coral(source, target) if len(source) > 1 else source.new_zeros(())
