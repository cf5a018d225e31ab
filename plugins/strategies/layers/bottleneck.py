"""Insert small networks into the blocks of a frozen model."""

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


def apply_adapter(layer: nn.Module, inputs: Any, output: torch.Tensor) -> Any:
    return layer.adapter(output)


def insert(model: nn.Module, layers: list[str], size: int, activation: str) -> nn.Module:
    """Add an adapter to the output of each of these layers, which keep their names."""
    for name in layers:
        layer = model.get_submodule(name)
        layer.adapter = Bottleneck(width_of(layer)[1], size, activation).to(layer.weight.device)
        layer.register_forward_hook(apply_adapter)
    return model


def width_of(layer: nn.Module) -> tuple[int, int]:
    """Return the numbers of inputs and outputs of a linear layer; GPT-2's weight is transposed."""
    rows, columns = layer.weight.shape
    return (rows, columns) if isinstance(layer, Conv1D) else (columns, rows)


def attention_outputs(model: PreTrainedModel) -> list[str]:
    """Return the last linear layer of the model's width in each attention, whose output joins the residual stream."""
    return [
        last
        for block, module in transformer_blocks(model).items()
        for attention in attentions(module)
        if (last := last_linear(model, f"{block}.{attention}", []))
    ]


def feed_forward_outputs(model: PreTrainedModel) -> list[str]:
    """Return the last linear layer of the model's width in each block outside of its attentions."""
    return [
        last
        for block, module in transformer_blocks(model).items()
        if (last := last_linear(model, block, [f"{block}.{each}" for each in attentions(module)]))
    ]


def attentions(block: nn.Module) -> list[str]:
    """Return the names of a block's attentions, without nested ones."""
    attentions: list[str] = []
    for name, _ in block.named_modules():
        last_part = name.rpartition(".")[2].lower()
        is_attention = ("attn" in last_part or "attention" in last_part) and "norm" not in last_part
        if is_attention and not any(name.startswith(f"{outer}.") for outer in attentions):
            attentions.append(name)
    return attentions


def last_linear(model: PreTrainedModel, inside: str, outside: list[str]) -> str | None:
    """Return the last linear layer of the model's width in one module and outside of the others."""
    width = model.config.get_text_config().hidden_size
    candidates = [
        f"{inside}.{name}"
        for name, layer in model.get_submodule(inside).named_modules()
        if isinstance(layer, (nn.Linear, Conv1D)) and width_of(layer)[1] == width
    ]
    layers = [name for name in candidates if not any(name.startswith(f"{each}.") for each in outside)]
    return layers[-1] if layers else None


def norms(model: nn.Module) -> Iterator[nn.Module]:
    """Yield the layer norms, for which many architectures have classes of their own."""
    return (module for module in model.modules() if "norm" in type(module).__name__.lower())
