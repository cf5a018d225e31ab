"""Record the features of each layer, without the model's noticing."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from tlplug.interfaces import BaseInfo, Batch, FrozenPrefix, LoadOptions, TaskHead
from tlplug.models.layers import is_inside, transformer_blocks
from tlplug.models.precision import autocast
from tlplug.runtime import cache

if TYPE_CHECKING:
    import torch
    from torch import nn
    from transformers import PreTrainedModel

BATCH_SIZE = 64


class Enough(Exception):
    """The last block has been seen: what the head makes of it is not asked for."""


def layer_features(model: nn.Module, head: TaskHead, base: BaseInfo, batches: Sequence[Batch]) -> np.ndarray:
    """Return means over each example's real positions, float32 [L + 1, p, D]; row 0 is what goes into the first of L blocks.

    Of an encoder-decoder the encoder's blocks. Virtual tokens before a text are left out of its mean.

    Args:
        model: in eval mode, on the batches' device.
        head: what made the batches, which knows their inputs and their mask.
        batches: p examples in all, in the order of the rows of the result.

    Raises:
        ValueError: the model has no list of blocks, or they give no states [B, T, D], [B, D] or [B, D, H, W].
    """
    seen = []
    for batch in batches:
        with states_of(model, base) as states, suppress(Enough):
            model(**arguments(batch, head, base))
        if len(states) < 2:
            raise ValueError(f"the blocks of {type(model).__name__} were not called one after another")
        mask = head.mask(batch)
        seen.append(np.stack([pooled(each, mask) for each in states]))
    return np.concatenate(seen, axis=1)


def arguments(batch: Batch, head: TaskHead, base: BaseInfo) -> dict[str, Any]:
    import torch

    given = dict(head.model_inputs(batch))
    if base.kind == "decoder":
        given["use_cache"] = False
    if base.kind == "encoder-decoder":
        # Some ask for it before they call the encoder; the decoder is never reached.
        first = next(iter(given.values()))
        given["decoder_input_ids"] = torch.zeros(len(first), 1, dtype=torch.long, device=first.device)
    return given


def pooled(states: torch.Tensor, mask: torch.Tensor | None) -> np.ndarray:
    """Return the mean over positions: [B, T, D] or [B, D, H, W] -> [B, D]; [B, D] stays as it is.

    Args:
        mask: [B, T'], which positions are real; what stands before the last T' is none of the example's. None: all are.
    """
    if states.ndim not in (2, 3, 4) or (mask is not None and len(states) != len(mask)):
        raise ValueError(
            f"a block gives states of shape {tuple(states.shape)}, not [examples, positions, width]"
        )
    real = states.float()
    if states.ndim == 3 and mask is not None:
        weights = mask.to(states.device).float().unsqueeze(-1)
        real = (real[:, -mask.shape[1] :] * weights).sum(1) / weights.sum(1).clamp(min=1)
    elif states.ndim > 2:
        real = real.mean(1) if states.ndim == 3 else real.mean((2, 3))
    mean: np.ndarray = real.cpu().numpy()
    return mean


@contextmanager
def states_of(model: nn.Module, base: BaseInfo) -> Iterator[list[torch.Tensor]]:
    """While it lasts, what goes into the first block and what comes out of each.

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
    """The blocks that read an example, and how many of their outputs there are: blocks may share weights and be one."""
    every = transformer_blocks(model)
    if base.kind == "encoder-decoder":
        encoder = model.get_encoder()
        name = next(name for name, module in model.named_modules() if module is encoder)
        # A strategy may have kept the encoder alone.
        reading = [block for path, block in every.items() if not name or is_inside(path, [name])]
        return reading, len(reading)
    return list(every.values()), max(len(every), getattr(model.config, "num_hidden_layers", 0) or 0)


def stay(model: nn.Module, prefix: FrozenPrefix, base: BaseInfo) -> bool:
    """Whether all blocks that read an example lie in the frozen prefix, so that their states are the base model's."""
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


def in_batches(
    head: TaskHead,
    features: Sequence[dict[str, Any]],
    size: int,
    compute: Callable[[list[dict[str, Any]]], np.ndarray],
    axis: int = 0,
) -> np.ndarray:
    """`compute` on batches of about one length each, put together in the order of the features along `axis`."""
    parts, back = by_length(head, features, size)
    return np.take(np.concatenate([compute(part) for part in parts], axis=axis), back, axis=axis)


def by_length(
    head: TaskHead, features: Sequence[dict[str, Any]], size: int
) -> tuple[list[list[dict[str, Any]]], np.ndarray]:
    """Batches of about one length each, and what puts their rows back into the order of the features."""
    order = sorted(range(len(features)), key=lambda index: -head.length(features[index]))
    parts = [
        [features[index] for index in order[start : start + size]] for start in range(0, len(order), size)
    ]
    return parts, np.argsort(order)


@contextmanager
def looking(model: nn.Module, device: torch.device, precision: str) -> Iterator[None]:
    """While it lasts the model is in eval mode on the device; afterwards all of it, and chance, is as it was.

    Not inference mode: what modules keep of a forward pass, such as tables of positions, is trained with later.
    """
    import torch

    modes = [(module, module.training) for module in model.modules()]
    home = next(model.parameters()).device
    devices = [device] if device.type == "cuda" else []
    model.eval()
    try:
        # transformers' own `to` refuses to move quantized models.
        torch.nn.Module.to(model, device)
        with torch.no_grad(), torch.random.fork_rng(devices), autocast(precision, device):
            yield
    finally:
        torch.nn.Module.to(model, home)
        for module, training in modes:
            module.training = training


KIND = "base_features"
LIBRARIES = ("tlplug", "torch", "transformers")


def key_for(
    base: BaseInfo, options: LoadOptions, encoded: Sequence[dict[str, Any]], computed: Sequence[Any]
) -> str:
    """A hash of what determines them: the weights as they are loaded, the features, how it is computed.

    Args:
        computed: device, precision, rows of a batch.
    """
    quantization = options.quantization
    return cache.key_of(
        {
            "base": [base.fingerprint, base.dtype, base.attention],
            "quantization": None if quantization is None else quantization.to_dict(),
            "features": [{name: feature[name] for name in feature if name != "id"} for feature in encoded],
            "computed": list(computed),
            "libraries": {name: version(name) for name in LIBRARIES},
        }
    )


def recalled(key: str, compute: Callable[[], np.ndarray]) -> np.ndarray:
    """Return what an earlier run computed; else compute it and keep it."""
    path = cache.cache_folder() / KIND / f"{key}.npy"
    return cache.get_or_compute(path, compute, partial(np.load, allow_pickle=False), write_array)


def write_array(array: np.ndarray, path: Path) -> None:
    with path.open("wb") as file:  # given a path, numpy would add a suffix to it
        np.save(file, array)
