"""Fine-tune all weights with a penalty on their distance from the pretrained ones."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from tlplug import AdaptContext, Batch, StepOutput, TaskHead
from tlplug_plugins.strategies.full import Full

if TYPE_CHECKING:
    import torch
    from torch import nn


class L2SP(Full):
    """Full fine-tuning with a penalty on the distance from the pretrained weights.

    loss + alpha / 2 ||w - w0||^2 + beta / 2 ||v||^2 with w the weights that the base model's files have, w0 their values
    there, v those they do not have, such as a new head's; the norms are over all elements (Li, Grandvalet & Davoine 2018,
    "Explicit inductive bias for transfer learning with convolutional networks"). It stands in the place of weight decay,
    which pulls to zero and is 0 here. w0 takes the memory of one more copy of the weights; it is not saved.

    Take it where full fine-tuning forgets or overfits because there are few rows. Not where the task is far from
    what the base model knows: it then prevents the necessary change. `lora` stays near the base model for less memory.
    """

    optimizer_defaults = replace(Full.optimizer_defaults, weight_decay=0.0)

    @dataclass
    class Config(Full.Config):
        alpha: float = 0.1
        """The strength of the pull towards the pretrained weights."""
        beta: float = 0.01
        """The strength of the pull of new weights towards zero."""

        def __post_init__(self) -> None:
            super().__post_init__()
            for name in ("alpha", "beta"):
                if getattr(self, name) < 0.0:
                    raise ValueError(f"{name} is {getattr(self, name)}; it must be at least 0")

    start: Mapping[str, torch.Tensor]
    """The pretrained weights by name."""

    def adapt(self, model: nn.Module, context: AdaptContext) -> nn.Module:
        import torch

        # `load_pretrained` marks new parameters by `is_new`.
        self.start = {
            name: parameter.detach().to(context.device, torch.float32, copy=True)
            for name, parameter in model.named_parameters()
            if not getattr(parameter, "is_new", False)
        }
        return super().adapt(model, context)

    def training_step(self, model: nn.Module, head: TaskHead, batches: Mapping[str, Batch]) -> StepOutput:
        step = super().training_step(model, head, batches)
        penalty = self.penalty(model)
        return StepOutput(step.loss + penalty, step.num_items, {**step.logs, "penalty": penalty.item()})

    def penalty(self, model: nn.Module) -> torch.Tensor:
        from torch.nn.functional import mse_loss

        old, new = [], []
        for name, parameter in model.named_parameters():
            if name in self.start:
                # The gradient of mse_loss does not store the difference, which would be another copy of the weights.
                old.append(mse_loss(parameter, self.start[name], reduction="sum"))
            else:
                new.append(parameter.square().sum())
        return self.config.alpha / 2 * sum(old) + self.config.beta / 2 * sum(new)
