"""Which layers of a transformers model an adaptation can act on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import nn
    from transformers import PreTrainedModel


def present_output_modules(model: nn.Module, names: Sequence[str]) -> list[str]:
    """What has to be trained whole: a head's `output_modules` that this architecture has, and what is as new as they.

    A base model that was saved without its pooler, say, gets a random one.
    """
    found = [name for name, _ in model.named_modules() if name in names]
    new = [name.rpartition(".")[0] for name in new_parameters(model) if not within(name, found)]
    return list(dict.fromkeys([*found, *new]))


def new_parameters(model: nn.Module) -> dict[str, nn.Parameter]:
    """Random parameters, which the base model's files do not have; a bias of zeros is not random."""
    return {
        name: parameter
        for name, parameter in model.named_parameters()
        if getattr(parameter, "is_new", False) and not (parameter == parameter.flatten()[0]).all()
    }


def within(name: str, modules: Sequence[str]) -> bool:
    """Whether a module or parameter is one of the modules or lies in one."""
    return any(f"{name}.".startswith(f"{module}.") for module in modules)


def trunk_linear_names(model: PreTrainedModel, output_modules: Sequence[str]) -> list[str]:
    """Full names of the linear layers (quantized ones too) that are no part of the head or of the output embedding.

    peft's `all-linear` leaves out only the heads that it knows, and fails on others; this asks the model.
    """
    from torch import nn
    from transformers.pytorch_utils import Conv1D

    output_embedding = model.get_output_embeddings()
    return [
        name
        for name, module in model.named_modules()
        if isinstance(module, (nn.Linear, Conv1D))
        and module is not output_embedding
        and not within(name, output_modules)
    ]


def blocks(model: nn.Module) -> dict[str, nn.Module]:
    """The transformer blocks by their full names, bottom first; of an encoder-decoder the encoder's and then the decoder's.

    Raises:
        ValueError: the model has no list of layers.
    """
    stacks = [stack for stack in _stacks(model) if stack is not None]
    longest = [max(_block_lists(stack), key=len, default=None) for stack in stacks]
    names = {id(module): name for name, module in model.named_modules()}
    found = {names[id(block)]: block for blocks in longest if blocks is not None for block in blocks}
    if not found:
        raise ValueError(f"{type(model).__name__} has no list of blocks")
    return found


def depths(model: nn.Module) -> dict[str, int]:
    """Each parameter's depth by its name: 0 for the embeddings, 1 for the lowest block, n for the n-th; n + 1 for what
    lies above all blocks, such as the head.

    What stands between two blocks, such as the norm at an encoder's end, has the depth of the block before it.
    """
    order = {name: depth for depth, name in enumerate(blocks(model), start=1)}
    top, before, found = len(order), 0, {}
    for name, _ in model.named_parameters():
        inside = next((depth for block, depth in order.items() if within(name, [block])), None)
        before = before if inside is None else max(before, inside)
        found[name] = before if inside is None else inside
    return {
        name: depth if depth < top or within(name, list(order)) else top + 1 for name, depth in found.items()
    }


def _stacks(model: nn.Module) -> list[nn.Module]:
    config = getattr(model, "config", None)
    if not getattr(config, "is_encoder_decoder", False):
        return [model]
    return [model.get_encoder(), model.get_decoder()]  # type: ignore[operator]


def _block_lists(stack: nn.Module) -> list[nn.ModuleList]:
    """Lists of modules of one class; a list inside another, such as the parts of a block, is shorter or no longer."""
    from torch import nn

    lists = [module for module in stack.modules() if isinstance(module, nn.ModuleList) and len(module)]
    return [found for found in lists if len({type(module) for module in found}) == 1]
