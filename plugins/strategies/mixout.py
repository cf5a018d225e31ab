"""Fine-tune all weights, with a random share of them at their pretrained values in each pass."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from tlplug import AdaptContext, backbone_linear_names, modules_to_save
from tlplug_plugins.strategies.full import Full

if TYPE_CHECKING:
    from torch import nn
    from transformers import PreTrainedModel


class Mixout(Full):
    """Full fine-tuning in which weights are at random their pretrained values.

    In each forward pass while training, each element of the weights W [out, in] of the trunk's linear layers is, with
    probability p = `share`, its pretrained value W0; what comes of it is corrected so that its mean is W:
    W0 + (1 - m) (W - W0) / (1 - p), m 1 with probability p and else 0 (Lee, Cho & Kang 2020, "Mixout: effective
    regularization to finetune large-scale pretrained language models"). That is dropout towards W0 in the place of
    dropout towards 0, and pulls W to W0 the more the larger p is. Biases, norms, embeddings and the new
    head are trained as in `full`. As in the paper it replaces the trunk's dropout; `keep_dropout` has both.
    At the end it is W alone that predicts and is saved.

    Take it where full fine-tuning is unstable over seeds, a large model on few rows above all. Not where memory or time
    is short: W0 is one more copy of the linear layers, and each step draws a random number and makes a new weight for
    each of their elements, so that a step costs noticeably more with short texts.
    """

    @dataclass
    class Config(Full.Config):
        share: float = 0.7
        """The probability of the pretrained value; the paper has 0.7, 0.8 and 0.9."""
        keep_dropout: bool = False
        """Keep the trunk's own dropout as well."""

        def __post_init__(self) -> None:
            super().__post_init__()
            if not 0.0 <= self.share < 1.0:
                raise ValueError(f"share is {self.share}; it must be in [0, 1)")

    def adapt(self, model: nn.Module, context: AdaptContext) -> nn.Module:
        from tlplug_plugins.strategies.layers.mixout import enable_mixout, switch_off_dropout

        if self.config.share > 0.0:
            pretrained = cast("PreTrainedModel", model)
            head = modules_to_save(model, context.head.head_modules)
            for name in backbone_linear_names(pretrained, head):
                enable_mixout(model.get_submodule(name), self.config.share, context.device)
            if not self.config.keep_dropout:
                switch_off_dropout(pretrained.base_model)
        return super().adapt(model, context)
