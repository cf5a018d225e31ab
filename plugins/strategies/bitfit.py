"""Train the biases only."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tlplug import (
    AdaptContext,
    BaseInfo,
    OptimizerSettings,
    Strategy,
    TaskHead,
    UsageError,
    is_inside,
    modules_to_save,
)

if TYPE_CHECKING:
    from torch import nn


class BitFit(Strategy):
    """BitFit: only the biases and the head are trained.

    y = W x + b with W frozen and b [out] trained, and likewise the shifts of layer norms (Ben Zaken et al. 2022): about
    0.1% of the weights. The head is trained whole.

    Take it where many tasks share one base model and each may add only kilobytes, or where rows are few; at the
    same speed as full fine-tuning it saves the memory of the optimizer, and hardly any of the backward pass. Not
    for base models without biases (Llama, T5), where nothing but the head would be left, and not where the task is
    far from what the base model knows: there `lora` comes further.
    """

    contract = 1
    optimizer_defaults = OptimizerSettings(
        learning_rate=2e-3, weight_decay=0.0, schedule="linear", warmup=0.1
    )

    def why_incompatible(self, head: TaskHead, base: BaseInfo | None = None) -> str | None:
        from tlplug_plugins.strategies.layers import outline

        if base is None or biases(outline(base), []):
            return None
        return f"{base.config.model_type} has no biases, so no weight of the base model would be trained."

    def adapt(self, model: nn.Module, context: AdaptContext) -> nn.Module:
        head = modules_to_save(model, context.head.head_modules)
        trainable = biases(model, head)
        if not trainable:
            raise UsageError(
                f"{type(model).__name__} has no biases, so no weight of the base model would be trained"
            )
        for name, parameter in model.named_parameters():
            parameter.requires_grad = name in trainable or is_inside(name, head)
        for module in model.modules():
            # Trainable weights are in float32, and a norm needs its scale and its shift in one dtype.
            if "norm" in type(module).__name__.lower() and getattr(module, "bias", None) is not None:
                module.float()
        return model


def biases(model: nn.Module, head: list[str]) -> set[str]:
    """Return the names of the trunk's bias parameters, `q_bias` and similar names included."""
    names = (name for name, parameter in model.named_parameters() if parameter.ndim == 1)
    return {name for name in names if name.endswith("bias") and not is_inside(name, head)}
