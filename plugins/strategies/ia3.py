"""Train factors on keys, values and inner activations."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tlplug import BaseInfo, OptimizerSettings, TaskHead
from tlplug_plugins.strategies.adapters.peft_method import AUTO, PeftMethod, check_names

if TYPE_CHECKING:
    from transformers import PreTrainedModel


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
                raise ValueError("target_modules and feedforward_modules are set both, or neither is")
            if targets != AUTO and not set(inner) <= set(targets):
                raise ValueError("feedforward_modules have to be some of target_modules")

    def why_incompatible(self, head: TaskHead, base: BaseInfo | None = None) -> str | None:
        from tlplug_plugins.strategies.layers import scaled_layers
        from tlplug_plugins.strategies.layers.meta_model import outline

        if (
            base is None
            or self.config.target_modules != AUTO
            or scaled_layers.peft_names(base.config.model_type)
        ):
            return None
        if all(scaled_layers.find_layers(outline(base))):
            return None
        return (
            f"its architecture, {base.config.model_type}, has no separate layers for keys and values or no feed-forward "
            "that IA3 would know; name them by strategy.target_modules and strategy.feedforward_modules."
        )

    def peft_config(self, model: PreTrainedModel, head: list[str]) -> Any:
        from peft import IA3Config

        from tlplug_plugins.strategies.layers import scaled_layers

        targets, inner = self.config.target_modules, self.config.feedforward_modules
        if targets == AUTO:
            outputs, inner = scaled_layers.peft_names(model.config.model_type) or scaled_layers.find_layers(
                model
            )
            targets = [*outputs, *inner]
        return IA3Config(
            target_modules=list(targets), feedforward_modules=list(inner), modules_to_save=head or None
        )
