"""Find the layers of a transformers model that a strategy adapts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import nn
    from transformers import PreTrainedModel


def modules_to_save(model: nn.Module, names: Sequence[str]) -> list[str]:
    """Return the modules to train in full: a head's `head_modules` and other modules with newly initialized weights.

    A base model that was saved without its pooler, for example, gets a random one.
    """
    present = [name for name, _ in model.named_modules() if name in names]
    new = [name.rpartition(".")[0] for name in newly_initialized(model) if not is_inside(name, present)]
    return list(dict.fromkeys([*present, *new]))


def newly_initialized(model: nn.Module) -> dict[str, nn.Parameter]:
    """Return the randomly initialized parameters, which the base model's files lack; constant ones are left out."""
    return {
        name: parameter
        for name, parameter in model.named_parameters()
        if getattr(parameter, "is_new", False) and not (parameter == parameter.flatten()[0]).all()
    }


def new_blocks(model: nn.Module) -> list[str]:
    """Return the names of newly initialized parameters up to the last block, which make the features unreliable."""
    depth, top = parameter_depths(model), len(transformer_blocks(model))
    return [name for name in newly_initialized(model) if depth[name] <= top]


def is_inside(name: str, modules: Sequence[str]) -> bool:
    """Return whether a module or parameter is one of the modules or inside one of them."""
    return any(f"{name}.".startswith(f"{module}.") for module in modules)


def backbone_linear_names(model: PreTrainedModel, head_modules: Sequence[str]) -> list[str]:
    """Return the full names of the linear layers outside the head and the output embedding, quantized ones included.

    peft's `all-linear` excludes only the heads that it knows by name, and fails on others.
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
    """Return the transformer blocks by full name, from the bottom up; of an encoder-decoder the encoder's first.

    Layers that share their weights count as one block.

    Raises:
        ValueError: the model has no list of blocks, or splits its blocks over several lists.
    """
    names = {id(module): name for name, module in model.named_modules()}
    return {names[id(block)]: block for stack in _stacks(model) for block in _block_list(stack)}


def parameter_depths(model: nn.Module) -> dict[str, int]:
    """Return each parameter's depth by name: 0 for the embeddings, 1 to n for the n blocks, n + 1 above them.

    The head, for example, is above all blocks. A parameter between two blocks, such as the norm at the end of an
    encoder, has the depth of the block before it.
    """
    block_depths = {block: depth for depth, block in enumerate(transformer_blocks(model), start=1)}
    encoder = _encoder_names(model, list(block_depths))
    embeddings = _embedding_names(model)
    depths = {}
    for name, _ in model.named_parameters():
        inside = next((depth for block, depth in block_depths.items() if is_inside(name, [block])), None)
        above = block_depths[encoder[-1]] if is_inside(name, encoder[:1]) else len(block_depths) + 1
        depths[name] = inside or (0 if is_inside(name, embeddings) else above)
    return depths


def _encoder_names(model: nn.Module, order: Sequence[str]) -> list[str]:
    """Return the names of an encoder-decoder's encoder and of its last block; else an empty list."""
    first, *others = _stacks(model)
    if not others:
        return []
    name = next(name for name, module in model.named_modules() if module is first)
    return [name, max((block for block in order if is_inside(block, [name])), key=order.index)]


def _embedding_names(model: nn.Module) -> list[str]:
    """Return the names of the embedding modules, with their norms and projections; their names contain `emb`."""
    from torch import nn

    get_output = getattr(model, "get_output_embeddings", None)
    output = get_output() if callable(get_output) else None
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
    """Return the longest list of modules that is not inside another list, since a block can contain lists too."""
    from torch import nn

    lists = {
        name: module
        for name, module in stack.named_modules()
        if isinstance(module, nn.ModuleList) and len(module)
    }
    outer = [
        modules
        for name, modules in lists.items()
        if not is_inside(name, [other for other in lists if other != name])
    ]
    longest = max(map(len, outer), default=0)
    candidates = [modules for modules in outer if len(modules) == longest]
    if len(candidates) != 1:
        problem = "keeps the parts of its blocks in several lists" if candidates else "has no list of blocks"
        raise ValueError(f"{type(stack).__name__} {problem}")
    return candidates[0]
