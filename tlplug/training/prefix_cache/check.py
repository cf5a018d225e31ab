"""Check that the output of a frozen prefix can be stored, before any of it is."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import torch
from torch import nn

from tlplug.data.datamodule import TransferData
from tlplug.interfaces import Batch, FrozenPrefix
from tlplug.models.precision import autocast
from tlplug.training.module import TransferModule

AGREEMENT = 0.05
"""The largest relative difference of an example's state between batches; rounding in 16 bits gives less."""


def cacheable_prefix(module: TransferModule) -> FrozenPrefix | None:
    """Return the strategy's frozen prefix if its output could be stored: a chain that is used in one forward pass."""
    prefix = module.strategy.frozen_prefix(module.model)
    if (
        prefix is None
        or not prefix.cacheable
        or not module.head.single_forward_pass
        or module.strategy.extra_data
    ):
        return None
    return prefix


def why_not_cacheable(
    module: TransferModule, prefix: FrozenPrefix, data: TransferData, split: str, precision: str
) -> str | None:
    """Return the reason why the prefix's output cannot be stored, from the longest and the shortest example; else None."""
    features = data.features[split]
    longest, shortest = (
        dict(features[int(at)]) for at in (features.lengths.argmax(), features.lengths.argmin())
    )
    together, alone = data.collate([longest, shortest]), data.collate([shortest])
    with autocast(precision, module.device):
        calls = record_calls(module, prefix, split, together)
        reason = why_no_chain(calls, prefix)
        if reason is not None:
            return reason
        state, apart = (
            hidden_state(calls[-1][2]),
            hidden_state(record_calls(module, prefix, split, alone)[-1][2]),
        )
    if state.requires_grad:
        return "it contains or follows trainable weights"
    mask, other = module.head.mask(together), module.head.mask(alone)
    if state.ndim == 3 and mask is not None and other is not None:
        state, apart = state[:, mask[1].bool()], apart[:, other[0].bool()]
    elif state.shape[1:] != apart.shape[1:]:
        return f"its output has another shape in each batch: {list(state.shape)}, {list(apart.shape)}"
    if (state[1] - apart[0]).norm() > AGREEMENT * apart.norm():
        return "its output for an example depends on more than the example, such as its padding"
    return None


Call = tuple[nn.Module, Any, Any]
"""A module, its first argument, its output."""


def record_calls(module: TransferModule, prefix: FrozenPrefix, split: str, batch: Batch) -> list[Call]:
    """Return the calls of the chain's modules during a forward pass of the whole model."""
    calls: list[Call] = []

    def record(called: nn.Module, args: Any, kwargs: dict[str, Any], output: Any) -> None:
        calls.append((called, args[0] if args else kwargs.get("hidden_states"), output))

    handles = [each.register_forward_hook(record, with_kwargs=True) for each in prefix.cacheable]
    try:
        run_batch(module, split, batch)
    finally:
        for handle in handles:
            handle.remove()
    return calls


def why_no_chain(calls: list[Call], prefix: FrozenPrefix) -> str | None:
    name = type(prefix.cacheable[-1]).__name__
    if [called for called, _, _ in calls] != list(prefix.cacheable):
        return f"its {name} modules are not each called once, in order"
    if any(count_empty_outputs(output) is None for _, _, output in calls):
        return f"{name} returns more than a tensor"
    if any(states is not hidden_state(before[2]) for before, (_, states, _) in pairwise(calls)):
        return f"its {name} modules do not read each other's outputs"
    return None


def count_empty_outputs(output: Any) -> int | None:
    """Return the number of Nones after the state in a tuple; -1 for a tensor, None for any other output."""
    if isinstance(output, torch.Tensor):
        return -1
    single = (
        isinstance(output, tuple)
        and isinstance(output[0], torch.Tensor)
        and not any(each is not None for each in output[1:])
    )
    return len(output) - 1 if single else None


def hidden_state(output: Any) -> torch.Tensor:
    state: torch.Tensor = output if isinstance(output, torch.Tensor) else output[0]
    return state


def run_batch(module: TransferModule, split: str, batch: Batch) -> None:
    step = module.head.training_step if split == "train" else module.head.predict
    step(module.model, module.transfer_batch_to_device(batch, module.device, 0))
