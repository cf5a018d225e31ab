"""Compute the features of each layer without changing the model."""

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


class StopForward(Exception):
    """Ends a forward pass after the last block, since the head's output is not needed."""


def layer_features(model: nn.Module, head: TaskHead, base: BaseInfo, batches: Sequence[Batch]) -> np.ndarray:
    """Return means over each example's real positions, float32 [L + 1, p, D]; row 0 is the input of the first of L blocks.

    In an encoder-decoder the blocks are the encoder's. Virtual tokens before a text are left out of its mean.

    Args:
        model: in eval mode, on the batches' device.
        head: the head that collated the batches.
        batches: p examples in all, in the order of the rows of the result.

    Raises:
        ValueError: the model has no list of blocks, or their outputs are not [B, T, D], [B, D] or [B, D, H, W].
    """
    features = []
    for batch in batches:
        with capture_states(model, base) as states, suppress(StopForward):
            model(**arguments(batch, head, base))
        if len(states) < 2:
            raise ValueError(f"the blocks of {type(model).__name__} were not called one after another")
        mask = head.mask(batch)
        features.append(np.stack([mean_pool(layer, mask) for layer in states]))
    return np.concatenate(features, axis=1)


def arguments(batch: Batch, head: TaskHead, base: BaseInfo) -> dict[str, Any]:
    import torch

    inputs = dict(head.model_inputs(batch))
    if base.kind == "decoder":
        inputs["use_cache"] = False
    if base.kind == "encoder-decoder":
        # Some models require it before they call the encoder; the decoder never runs.
        first = next(iter(inputs.values()))
        inputs["decoder_input_ids"] = torch.zeros(len(first), 1, dtype=torch.long, device=first.device)
    return inputs


def mean_pool(states: torch.Tensor, mask: torch.Tensor | None) -> np.ndarray:
    """Return the mean over positions: [B, T, D] or [B, D, H, W] -> [B, D]; [B, D] is returned unchanged.

    Args:
        mask: [B, T'] with 1 at real positions; positions before the last T' are left out. None: all positions are real.
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
def capture_states(model: nn.Module, base: BaseInfo) -> Iterator[list[torch.Tensor]]:
    """Capture the input of the first block and the output of each block during a forward pass.

    The forward pass ends with `StopForward` after the last block.
    """
    blocks, expected = find_reading_blocks(transformers_model(model), base)
    states: list[torch.Tensor] = []

    def capture_input(_: nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
        if not states:
            states.append(args[0] if args else kwargs["hidden_states"])

    def capture_output(_: nn.Module, args: Any, output: Any) -> None:
        states.append(output[0] if isinstance(output, tuple) else output)
        if len(states) > expected:
            raise StopForward

    with ExitStack() as hooks:
        hooks.callback(blocks[0].register_forward_pre_hook(capture_input, with_kwargs=True).remove)
        for block in blocks:
            hooks.callback(block.register_forward_hook(capture_output).remove)
        yield states


def find_reading_blocks(model: PreTrainedModel, base: BaseInfo) -> tuple[list[nn.Module], int]:
    """Return the blocks that read an example, and the number of their outputs: layers that share weights are one block."""
    blocks = transformer_blocks(model)
    if base.kind == "encoder-decoder":
        encoder = model.get_encoder()
        name = next(name for name, module in model.named_modules() if module is encoder)
        # The name is empty where a strategy has removed the decoder.
        reading = [block for path, block in blocks.items() if not name or is_inside(path, [name])]
        return reading, len(reading)
    return list(blocks.values()), max(len(blocks), getattr(model.config, "num_hidden_layers", 0) or 0)


def prefix_covers_blocks(model: nn.Module, prefix: FrozenPrefix, base: BaseInfo) -> bool:
    """Return whether the frozen prefix contains all blocks that read an example, so that features do not change."""
    inside = {id(module) for part in prefix.modules for module in part.modules()}
    return all(id(block) in inside for block in find_reading_blocks(transformers_model(model), base)[0])


def transformers_model(model: nn.Module) -> PreTrainedModel:
    """Return the transformers model inside an adapted model.

    Raises:
        ValueError: there is none.
    """
    from transformers import PreTrainedModel as Model

    inner = next((module for module in model.modules() if isinstance(module, Model)), None)
    if inner is None:
        raise ValueError(f"{type(model).__name__} holds no transformers model")
    return cast("PreTrainedModel", inner)


def map_batches(
    head: TaskHead,
    features: Sequence[dict[str, Any]],
    size: int,
    compute: Callable[[list[dict[str, Any]]], np.ndarray],
    axis: int = 0,
) -> np.ndarray:
    """Apply `compute` to batches of similar lengths and concatenate the results in the order of the features."""
    parts, back = group_by_length(head, features, size)
    return np.take(np.concatenate([compute(part) for part in parts], axis=axis), back, axis=axis)


def group_by_length(
    head: TaskHead, features: Sequence[dict[str, Any]], size: int
) -> tuple[list[list[dict[str, Any]]], np.ndarray]:
    """Return batches of features of similar lengths, and the indices that restore the order of the features."""
    order = sorted(range(len(features)), key=lambda index: -head.length(features[index]))
    parts = [
        [features[index] for index in order[start : start + size]] for start in range(0, len(order), size)
    ]
    return parts, np.argsort(order)


@contextmanager
def evaluation_mode(model: nn.Module, device: torch.device, precision: str) -> Iterator[None]:
    """Put the model in eval mode on the device, without gradients; restore it and the random state afterwards.

    This is not inference mode, since modules may cache tensors, such as tables of positions, that training uses later.
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


def features_key(
    base: BaseInfo, options: LoadOptions, encoded: Sequence[dict[str, Any]], computed: Sequence[Any]
) -> str:
    """Return a key of the base model's features: a hash of the loaded weights, the inputs and the computation.

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


def load_or_compute(key: str, compute: Callable[[], np.ndarray]) -> np.ndarray:
    """Load features from the cache; compute and store them where it has none."""
    path = cache.cache_folder() / KIND / f"{key}.npy"
    return cache.get_or_compute(path, compute, partial(np.load, allow_pickle=False), write_array)


def write_array(array: np.ndarray, path: Path) -> None:
    with path.open("wb") as file:  # np.save would add a suffix to a path
        np.save(file, array)
