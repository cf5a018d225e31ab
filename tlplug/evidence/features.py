"""What each layer of a model makes of texts: one vector a text and layer."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from tlplug.contracts import BaseInfo, Batch, FrozenPrefix
from tlplug.layers import blocks, within

if TYPE_CHECKING:
    import torch
    from torch import nn
    from transformers import PreTrainedModel

INPUTS = ("input_ids", "attention_mask", "token_type_ids", "position_ids")
"""Of a batch what goes into a model; the rest is the head's."""
BATCH_SIZE = 64


class Enough(Exception):
    """The last block has been seen: what the head makes of it is not asked for."""


def layer_features(model: nn.Module, base: BaseInfo, batches: Sequence[Batch]) -> np.ndarray:
    """Means over each text's real tokens, float32 [L + 1, p, D]; row 0 is what goes into the first of the L blocks.

    Of an encoder-decoder the encoder's blocks. Virtual tokens before a text are left out of its mean.

    Args:
        model: in eval mode, on the batches' device.
        batches: p texts in all, in the order of the rows of the result.

    Raises:
        ValueError: the model has no list of blocks, or they give no states [B, T, D].
    """
    seen = []
    for batch in batches:
        with states_of(model, base) as states, suppress(Enough):
            model(**arguments(batch, base))
        if len(states) < 2:
            raise ValueError(f"the blocks of {type(model).__name__} were not called one after another")
        seen.append(np.stack([pooled(each, batch["attention_mask"]) for each in states]))
    return np.concatenate(seen, axis=1)


def arguments(batch: Batch, base: BaseInfo) -> dict[str, Any]:
    given = {name: batch[name] for name in INPUTS if name in batch}
    if base.kind == "decoder":
        given["use_cache"] = False
    if base.kind == "encoder-decoder":
        # Some ask for it before they call the encoder; the decoder is never reached.
        given["decoder_input_ids"] = batch["input_ids"][:, :1]
    return given


def pooled(states: torch.Tensor, mask: torch.Tensor) -> np.ndarray:
    """[B, T, D] and [B, T] -> [B, D]; what stands before the T tokens of the batch is none of the text's."""
    if states.ndim != 3 or len(states) != len(mask):
        raise ValueError(f"a block gives states of shape {tuple(states.shape)}, not [texts, tokens, width]")
    weights = mask.to(states.device).float().unsqueeze(-1)
    real = states[:, -mask.shape[1] :].float()
    mean: np.ndarray = ((real * weights).sum(1) / weights.sum(1).clamp(min=1)).cpu().numpy()
    return mean


@contextmanager
def states_of(model: nn.Module, base: BaseInfo) -> Iterator[list[torch.Tensor]]:
    """While it lasts, what goes into the first block and what comes out of each, [B, T, D] each.

    The call ends with `Enough` once the last block is done.
    """
    found, expected = stack_of(transformers_model(model), base)
    states: list[torch.Tensor] = []

    def first(_: nn.Module, args: tuple[Any, ...], named: Mapping[str, Any]) -> None:
        if not states:
            states.append(args[0] if args else named["hidden_states"])

    def after(_: nn.Module, args: Any, output: Any) -> None:
        states.append(output[0] if isinstance(output, tuple) else output)
        if len(states) > expected:
            raise Enough

    with ExitStack() as hooks:
        hooks.callback(found[0].register_forward_pre_hook(first, with_kwargs=True).remove)
        for block in found:
            hooks.callback(block.register_forward_hook(after).remove)
        yield states


def stack_of(model: PreTrainedModel, base: BaseInfo) -> tuple[list[nn.Module], int]:
    """The blocks that read a text, and how many of their outputs there are: blocks may share weights and be one."""
    every = blocks(model)
    if base.kind == "encoder-decoder":
        encoder = model.get_encoder()
        name = next(name for name, module in model.named_modules() if module is encoder)
        # A strategy may have kept the encoder alone.
        reading = [block for path, block in every.items() if not name or within(path, [name])]
        return reading, len(reading)
    return list(every.values()), max(len(every), getattr(model.config, "num_hidden_layers", 0) or 0)


def stay(model: nn.Module, prefix: FrozenPrefix, base: BaseInfo) -> bool:
    """Whether all blocks that read a text lie in the frozen prefix, so that their states are the base model's."""
    inside = {id(module) for part in prefix.modules for module in part.modules()}
    return all(id(block) in inside for block in stack_of(transformers_model(model), base)[0])


def transformers_model(model: nn.Module) -> PreTrainedModel:
    """The transformers model in what a strategy made of it.

    Raises:
        ValueError: there is none.
    """
    from transformers import PreTrainedModel as Model

    found = next((module for module in model.modules() if isinstance(module, Model)), None)
    if found is None:
        raise ValueError(f"{type(model).__name__} holds no transformers model")
    return cast("PreTrainedModel", found)
