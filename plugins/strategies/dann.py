"""Fine-tune all weights so that a classifier cannot distinguish the features of two domains."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from tlplug import AdaptContext, Batch, OptimizerSettings, StepOutput, TaskHead
from tlplug_plugins.strategies.bases.feature_alignment import DomainAdaptation

if TYPE_CHECKING:
    from lightning.pytorch import Callback
    from torch import nn
    from transformers import PreTrainedModel

    from tlplug_plugins.strategies.layers.reversal import DomainClassifier

DOMAIN = "domain_classifier"


class Dann(DomainAdaptation):
    """Full fine-tuning to features that do not distinguish two domains.

    loss + weight d, with d the cross entropy of a small classifier that distinguishes the features [B, D] of the task's
    batch (0) from those of an unlabelled one from `data.target_domain` (1). Its gradient reaches the features times
    -lambda, lambda = 2 / (1 + exp(-gamma p)) - 1 with p the share of the steps done: the classifier learns to
    distinguish the domains, and the features not to (Ganin et al. 2016, "Domain-adversarial training of neural
    networks"). Features are what the head is given to classify a text by: of encoders mostly the pooled first token, of
    decoders the last real token's state. The run is scored on the target's test rows; the domain classifier is not
    saved.

    Take it where the texts to be classified are of another kind than those with labels, there are many of them without
    labels, and aligning covariances (`coral`, which is steadier) is not enough. Not where the shares of the classes
    differ much between the two. Look at `train/domain_accuracy`: near 1 at the end, the domains are still distinguished.
    """

    @dataclass
    class Config(DomainAdaptation.Config):
        weight: float = 0.1
        """The weight of the domain classifier's loss. At the paper's 1 the task is hardly learnt in a few epochs."""
        hidden: int = 100
        """The number of units of the domain classifier's hidden layer."""
        gamma: float = 10.0
        """How soon the reversed gradient is at its full strength; 0: it never comes back."""
        domain_learning_rate: float = 1e-3
        """The learning rate of the domain classifier, whose weights are random at first."""

        def __post_init__(self) -> None:
            super().__post_init__()
            for name, least in (("hidden", 1), ("gamma", 0.0)):
                if getattr(self, name) < least:
                    raise ValueError(f"{name} is {getattr(self, name)}; it must be at least {least}")
            if self.domain_learning_rate <= 0.0:
                raise ValueError(f"domain_learning_rate is {self.domain_learning_rate}; it must be above 0")

    def adapt(self, model: nn.Module, context: AdaptContext) -> nn.Module:
        from tlplug_plugins.strategies.layers.reversal import DomainClassifier

        features = context.base.config.get_text_config().hidden_size
        # It is a module of the model during training, so that its weights are found and trained.
        model.add_module(DOMAIN, DomainClassifier(features, self.config.hidden))
        return super().adapt(model, context)

    def training_step(self, model: nn.Module, head: TaskHead, batches: Mapping[str, Batch]) -> StepOutput:
        from tlplug_plugins.strategies.layers.reversal import domain_accuracy, domain_loss

        step, *features = self.step_and_features(model, head, batches)
        classify = cast("DomainClassifier", model.get_submodule(DOMAIN))
        source, target = map(classify, features)
        loss = domain_loss(source, target)
        logs = {
            "domain_loss": loss.item(),
            "domain_accuracy": domain_accuracy(source, target),
            "reversal": classify.strength,
        }
        return StepOutput(step.loss + self.config.weight * loss, step.num_items, {**step.logs, **logs})

    def parameter_groups(self, model: nn.Module, settings: OptimizerSettings) -> list[dict[str, Any]]:
        """Return the groups with the domain classifier in one of its own, at its own learning rate."""
        own = {id(parameter): parameter for parameter in model.get_submodule(DOMAIN).parameters()}
        others = [
            {**group, "params": [p for p in group["params"] if id(p) not in own]}
            for group in super().parameter_groups(model, settings)
        ]
        domain_group = {
            "params": list(own.values()),
            "weight_decay": 0.0,
            "lr": self.config.domain_learning_rate,
        }
        return [*(group for group in others if group["params"]), domain_group]

    def callbacks(self) -> list[Callback]:
        from tlplug_plugins.strategies.layers.reversal import ReversalSchedule

        return [ReversalSchedule(DOMAIN, self.config.gamma)]

    def save(self, model: nn.Module, folder: Path) -> None:
        """Save the model as `full` does, without the domain classifier."""
        weights = {name: t for name, t in model.state_dict().items() if not name.startswith(f"{DOMAIN}.")}
        cast("PreTrainedModel", model).save_pretrained(folder, state_dict=weights)
