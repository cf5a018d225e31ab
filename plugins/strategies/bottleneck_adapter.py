"""Train small networks inside the blocks."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from tlplug import (
    AdaptContext,
    BaseInfo,
    Capabilities,
    OptimizerSettings,
    Strategy,
    TaskHead,
    UsageError,
    modules_to_save,
    transformer_blocks,
)
from tlplug_plugins.strategies.linear_probe import read_config, write_config

if TYPE_CHECKING:
    from torch import nn
    from transformers import PreTrainedModel

HOULSBY, PFEIFFER = "houlsby", "pfeiffer"
ACTIVATIONS = ("relu", "gelu", "silu", "tanh")
STRUCTURE = "adapter.json"


class BottleneckAdapter(Strategy):
    """Bottleneck adapters: small networks inside frozen blocks.

    h + W_up f(W_down h + b_down) + b_up on the output h [T, D] of a sub-layer's last linear layer, before its dropout
    and the residual sum; W_down [D / reduction, D] is random and W_up [D, D / reduction] zero, so that the model is at
    first what it was. Position `houlsby` has one after every attention and one after the feed-forward part, and the
    layer norms are trained too (Houlsby et al. 2019); `pfeiffer` has the latter alone, at half the weights (Pfeiffer et al.
    2021; theirs reads h after the sum and the norm). The head is trained whole.

    Take it where one base model serves many tasks, or where `lora` comes not far enough: an adapter is not linear. Not
    where each millisecond of prediction counts: it cannot be merged into the weights, and stays a detour in every block.
    """

    contract = 1
    optimizer_defaults = OptimizerSettings(
        learning_rate=1e-3, weight_decay=0.0, schedule="linear", warmup=0.1
    )
    capabilities = Capabilities(mergeable=False)

    @dataclass
    class Config:
        reduction: int = 16
        """The model's width over that of the bottleneck."""
        position: str = HOULSBY
        """`houlsby`: after attention and after the feed-forward part; `pfeiffer`: after the latter alone."""
        activation: str = "gelu"
        """relu, gelu, silu or tanh."""

        def __post_init__(self) -> None:
            if self.reduction < 1:
                raise ValueError(f"reduction is {self.reduction}; it must be at least 1")
            if self.position not in (HOULSBY, PFEIFFER):
                raise ValueError(f"position is {self.position!r}; it must be {HOULSBY} or {PFEIFFER}")
            if self.activation not in ACTIVATIONS:
                raise ValueError(
                    f"activation is {self.activation!r}; it must be one of {', '.join(ACTIVATIONS)}"
                )

    def why_incompatible(self, head: TaskHead, base: BaseInfo | None = None) -> str | None:
        from tlplug_plugins.strategies.layers import outline

        if base is None:
            return None
        try:
            self._adapted_layers(outline(base))
        except (UsageError, ValueError) as error:
            return f"{error}."
        return None

    def adapt(self, model: nn.Module, context: AdaptContext) -> nn.Module:
        from tlplug_plugins.strategies.layers.bottleneck import insert, norms

        pretrained = cast("PreTrainedModel", model)
        head = modules_to_save(model, context.head.head_modules)
        layers = self._adapted_layers(pretrained)
        model.requires_grad_(False)
        size = max(1, pretrained.config.get_text_config().hidden_size // self.config.reduction)
        insert(model, layers, size, self.config.activation)
        for name in [*(f"{layer}.adapter" for layer in layers), *head]:
            model.get_submodule(name).requires_grad_(True)
        if self.config.position == HOULSBY:
            for norm in norms(model):
                norm.requires_grad_(True)
        return model

    def _adapted_layers(self, model: PreTrainedModel) -> list[str]:
        from tlplug_plugins.strategies.layers.bottleneck import attention_outputs, feed_forward_outputs

        outputs = [feed_forward_outputs(model)]
        if self.config.position == HOULSBY:
            outputs.append(attention_outputs(model))
        if min(map(len, outputs)) < len(transformer_blocks(model)):
            raise UsageError(
                f"{type(model).__name__} has blocks whose attention or feed-forward part does not end in a linear layer "
                "of the model's width"
            )
        return [layer for layers in outputs for layer in layers]

    def save(self, model: nn.Module, folder: Path) -> None:
        """Write the trained weights to `trained.safetensors` and the names of the adapted layers to `adapter.json`."""
        super().save(model, folder)
        adapters = {
            name.removesuffix(".adapter"): module
            for name, module in model.named_modules()
            if name.endswith(".adapter")
        }
        first: Any = next(iter(adapters.values()))
        write_config(
            folder / STRUCTURE, places=list(adapters), size=first.down.out_features, activation=first.name
        )

    def load(self, model: nn.Module, folder: Path, base: BaseInfo) -> nn.Module:
        from tlplug_plugins.strategies.layers.bottleneck import insert

        config = read_config(folder / STRUCTURE)
        insert(model, config["places"], config["size"], config["activation"])
        return super().load(model, folder, base)
