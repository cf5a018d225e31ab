"""Which layers of a transformers model an adaptation can act on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import nn
    from transformers import PreTrainedModel


def modules_to_save(model: nn.Module, names: Sequence[str]) -> list[str]:
    """What has to be trained whole: a head's `head_modules` that this architecture has, and what is as new as they.

    A base model that was saved without its pooler, say, gets a random one.
    """
    found = [name for name, _ in model.named_modules() if name in names]
    new = [name.rpartition(".")[0] for name in newly_initialized(model) if not is_inside(name, found)]
    return list(dict.fromkeys([*found, *new]))


def newly_initialized(model: nn.Module) -> dict[str, nn.Parameter]:
    """Random parameters, which the base model's files do not have; a bias of zeros is not random."""
    return {
        name: parameter
        for name, parameter in model.named_parameters()
        if getattr(parameter, "is_new", False) and not (parameter == parameter.flatten()[0]).all()
    }


def new_blocks(model: nn.Module) -> list[str]:
    """Random parameters up to the last block: the base model's files lack a part of what makes features."""
    depth, top = parameter_depths(model), len(transformer_blocks(model))
    return [name for name in newly_initialized(model) if depth[name] <= top]


def is_inside(name: str, modules: Sequence[str]) -> bool:
    """Whether a module or parameter is one of the modules or lies in one."""
    return any(f"{name}.".startswith(f"{module}.") for module in modules)


def backbone_linear_names(model: PreTrainedModel, head_modules: Sequence[str]) -> list[str]:
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
        and not is_inside(name, head_modules)
    ]


def transformer_blocks(model: nn.Module) -> dict[str, nn.Module]:
    """The transformer blocks by their full names, bottom first; of an encoder-decoder the encoder's and then the decoder's.

    Layers that share their weights are one block.

    Raises:
        ValueError: the model has no list of blocks, or keeps the parts of its blocks in several lists.
    """
    names = {id(module): name for name, module in model.named_modules()}
    return {names[id(block)]: block for stack in _stacks(model) for block in _block_list(stack)}


def parameter_depths(model: nn.Module) -> dict[str, int]:
    """Each parameter's depth by its name: 0 for the embeddings, 1 for the lowest block, n for the n-th; n + 1 for what
    lies above all blocks, such as the head.

    What stands between two blocks, such as the norm at an encoder's end, has the depth of the block before it.
    """
    order = {block: depth for depth, block in enumerate(transformer_blocks(model), start=1)}
    below = _encoder_names(model, list(order))
    embeddings = _embedding_names(model)
    found = {}
    for name, _ in model.named_parameters():
        inside = next((depth for block, depth in order.items() if is_inside(name, [block])), None)
        above = order[below[-1]] if is_inside(name, below[:1]) else len(order) + 1
        found[name] = inside or (0 if is_inside(name, embeddings) else above)
    return found


def _encoder_names(model: nn.Module, order: Sequence[str]) -> list[str]:
    """Of an encoder-decoder the encoder's name and its last block's; else nothing."""
    first, *others = _stacks(model)
    if not others:
        return []
    name = next(name for name, module in model.named_modules() if module is first)
    return [name, max((block for block in order if is_inside(block, [name])), key=order.index)]


def _embedding_names(model: nn.Module) -> list[str]:
    """What makes vectors of tokens and positions, with its norms and projections; no architecture calls them otherwise."""
    from torch import nn

    ask = getattr(model, "get_output_embeddings", None)
    output = ask() if callable(ask) else None
    return [
        name
        for name, module in model.named_modules()
        if module is not output and (isinstance(module, nn.Embedding) or "emb" in name.rpartition(".")[2])
    ]


def _stacks(model: nn.Module) -> list[nn.Module]:
    if not getattr(getattr(model, "config", None), "is_encoder_decoder", False):
        return [model]
    return [model.get_encoder(), model.get_decoder()]  # type: ignore[operator]


def _block_list(stack: nn.Module) -> nn.ModuleList:
    """The longest list of modules that lies in no other list: parts of a block may be lists too."""
    from torch import nn

    lists = {
        name: module
        for name, module in stack.named_modules()
        if isinstance(module, nn.ModuleList) and len(module)
    }
    outer = {
        name: found
        for name, found in lists.items()
        if not is_inside(name, [other for other in lists if other != name])
    }
    longest = max(map(len, outer.values()), default=0)
    chosen = [found for found in outer.values() if len(found) == longest]
    if len(chosen) != 1:
        many = "keeps the parts of its blocks in several lists" if chosen else "has no list of blocks"
        raise ValueError(f"{type(stack).__name__} {many}")
    return chosen[0]
