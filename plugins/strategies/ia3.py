"""Train factors on keys, values and inner activations."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tlplug import BaseInfo, OptimizerSettings, TaskHead, transformer_blocks
from tlplug_plugins.strategies.bases.peft_method import AUTO, PeftMethod, check_names

if TYPE_CHECKING:
    from torch import nn
    from transformers import PreTrainedModel

KEY_OR_VALUE = re.compile(r"(k|v|key|value)(_?(proj|lin|layer|linear))?")


class IA3(PeftMethod):
    """IA3: a learnt factor for each key, value and inner activation of frozen layers.

    k * l_k, v * l_v with l [out] on the outputs of keys and values, and l_ff [in] on the inputs of the feed-forward's
    second layer; all begin at 1, so that training starts from the base model (Liu et al. 2022). The head is trained
    whole. Take it where an adapter has to be tiny (some ten thousand numbers) or rows are few. Not where much has to
    be learnt: a factor can only weaken or strengthen what is there. It costs about what `lora` costs in time.
    """

    contract = 1
    optimizer_defaults = OptimizerSettings(
        learning_rate=1e-2, weight_decay=0.0, schedule="linear", warmup=0.1
    )

    @dataclass
    class Config:
        target_modules: Any = AUTO
        """Layers that get factors. `auto`: what peft has for the architecture, else the linear layers named after keys
        and values, and those that lead back from the feed-forward's inner width."""
        feedforward_modules: Any = AUTO
        """The target modules whose inputs are scaled instead of their outputs."""

        def __post_init__(self) -> None:
            check_names("target_modules", self.target_modules)
            check_names("feedforward_modules", self.feedforward_modules)
            targets, inner = self.target_modules, self.feedforward_modules
            if (targets == AUTO) != (inner == AUTO):
                raise ValueError("target_modules and feedforward_modules must both be set, or neither")
            if targets != AUTO and not set(inner) <= set(targets):
                raise ValueError("feedforward_modules must be some of target_modules")

    def why_incompatible(self, head: TaskHead, base: BaseInfo | None = None) -> str | None:
        from tlplug_plugins.strategies.layers import outline

        if base is None or self.config.target_modules != AUTO or peft_names(base.config.model_type):
            return None
        if all(find_layers(outline(base))):
            return None
        return (
            f"its architecture, {base.config.model_type}, has no known separate layers for keys and values or no known "
            "feed-forward; set strategy.target_modules and strategy.feedforward_modules."
        )

    def peft_config(self, model: PreTrainedModel, head: list[str]) -> Any:
        from peft import IA3Config

        targets, inner = self.config.target_modules, self.config.feedforward_modules
        if targets == AUTO:
            outputs, inner = peft_names(model.config.model_type) or find_layers(model)
            targets = [*outputs, *inner]
        return IA3Config(
            target_modules=list(targets), feedforward_modules=list(inner), modules_to_save=head or None
        )


def peft_names(model_type: str) -> tuple[list[str], list[str]] | None:
    """Return peft's layer names for an architecture, with scaled outputs and with scaled inputs; None if it has none."""
    from peft.utils.constants import (
        TRANSFORMERS_MODELS_TO_IA3_FEEDFORWARD_MODULES_MAPPING,
        TRANSFORMERS_MODELS_TO_IA3_TARGET_MODULES_MAPPING,
    )

    targets = TRANSFORMERS_MODELS_TO_IA3_TARGET_MODULES_MAPPING.get(model_type)
    if targets is None:
        return None
    inner = TRANSFORMERS_MODELS_TO_IA3_FEEDFORWARD_MODULES_MAPPING[model_type]
    return [name for name in targets if name not in inner], list(inner)


def find_layers(model: nn.Module) -> tuple[list[str], list[str]]:
    """Return the full names of both kinds of layers for an architecture that peft does not know.

    The second half of a feed-forward is a linear layer that is narrower on its way out than on its way in; so may be
    the last layer of an attention, which stands beside its keys and values.
    """
    from torch import nn

    linear = {
        f"{block_name}.{name}": module
        for block_name, block in transformer_blocks(model).items()
        for name, module in block.named_modules()
        if isinstance(module, nn.Linear)
    }
    outputs = [name for name in linear if KEY_OR_VALUE.fullmatch(name.rpartition(".")[2])]
    attentions = {name.rpartition(".")[0] for name in outputs}
    inner = [
        name
        for name, module in linear.items()
        if module.in_features > module.out_features and name.rpartition(".")[0] not in attentions
    ]
    return outputs, inner
