"""Small networks inside the blocks of a frozen model."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from transformers.activations import ACT2FN
from transformers.pytorch_utils import Conv1D

from tlplug import transformer_blocks

if TYPE_CHECKING:
    from transformers import PreTrainedModel


class Bottleneck(nn.Module):
    """h [.., D] -> h + W_up f(W_down h + b_down) + b_up, with W_down [R, D] random, W_up [D, R] and b_up zero."""

    def __init__(self, width: int, size: int, activation: str) -> None:
        super().__init__()
        self.down = nn.Linear(width, size)
        self.name = activation
        self.activation = ACT2FN[activation]
        self.up = nn.Linear(size, width)
        nn.init.zeros_(self.up.weight)
        nn.init.zeros_(self.up.bias)

    def forward(self, states: torch.Tensor) -> torch.Tensor:
        inner = self.activation(self.down(states.to(self.down.weight.dtype)))
        return states + self.up(inner).to(states.dtype)


def through_adapter(layer: nn.Module, given: Any, output: torch.Tensor) -> Any:
    return layer.adapter(output)


def insert(model: nn.Module, places: list[str], size: int, activation: str) -> nn.Module:
    """An adapter on the output of each of these layers, which keep their names."""
    for name in places:
        layer = model.get_submodule(name)
        layer.adapter = Bottleneck(width_of(layer)[1], size, activation).to(layer.weight.device)
        layer.register_forward_hook(through_adapter)
    return model


def width_of(layer: nn.Module) -> tuple[int, int]:
    """Inputs and outputs of a linear layer; GPT-2's has its weight the other way round."""
    rows, columns = layer.weight.shape
    return (rows, columns) if isinstance(layer, Conv1D) else (columns, rows)


def attention_outputs(model: PreTrainedModel) -> list[str]:
    """The last linear layer of each attention that gives the model's width: what is added to the residual stream."""
    return [
        last
        for block, module in transformer_blocks(model).items()
        for attention in attentions(module)
        if (last := last_linear(model, f"{block}.{attention}", []))
    ]


def feed_forward_outputs(model: PreTrainedModel) -> list[str]:
    """The last linear layer of each block outside of its attentions that gives the model's width."""
    return [
        last
        for block, module in transformer_blocks(model).items()
        if (last := last_linear(model, block, [f"{block}.{each}" for each in attentions(module)]))
    ]


def attentions(block: nn.Module) -> list[str]:
    """Names of a block's attentions, without those that lie in another."""
    found: list[str] = []
    for name, _ in block.named_modules():
        own = name.rpartition(".")[2].lower()
        named = ("attn" in own or "attention" in own) and "norm" not in own
        if named and not any(name.startswith(f"{each}.") for each in found):
            found.append(name)
    return found


def last_linear(model: PreTrainedModel, inside: str, outside: list[str]) -> str | None:
    """The name of the last linear layer in a module, and in none of the others, that gives the model's width."""
    width = model.config.get_text_config().hidden_size
    fitting = [
        f"{inside}.{name}"
        for name, layer in model.get_submodule(inside).named_modules()
        if isinstance(layer, (nn.Linear, Conv1D)) and width_of(layer)[1] == width
    ]
    kept = [name for name in fitting if not any(name.startswith(f"{each}.") for each in outside)]
    return kept[-1] if kept else None


def norms(model: nn.Module) -> Iterator[nn.Module]:
    """Layer norms of all kinds, which architectures bring classes of their own for."""
    return (module for module in model.modules() if "norm" in type(module).__name__.lower())
