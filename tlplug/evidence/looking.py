"""How a model is looked at: in batches of about one length, and so that it does not notice."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from tlplug.precision import autocast

if TYPE_CHECKING:
    import torch
    from torch import nn


def in_batches(
    features: Sequence[dict[str, Any]],
    size: int,
    compute: Callable[[list[dict[str, Any]]], np.ndarray],
    axis: int = 0,
) -> np.ndarray:
    """`compute` on batches of about one length each, put together in the order of the features along `axis`."""
    parts, back = by_length(features, size)
    return np.take(np.concatenate([compute(part) for part in parts], axis=axis), back, axis=axis)


def by_length(features: Sequence[dict[str, Any]], size: int) -> tuple[list[list[dict[str, Any]]], np.ndarray]:
    """Batches of about one length each, and what puts their rows back into the order of the features."""
    order = sorted(range(len(features)), key=lambda index: -len(features[index]["input_ids"]))
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
