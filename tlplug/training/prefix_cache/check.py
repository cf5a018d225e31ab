"""Whether what a frozen part gives can be kept: tried before anything is."""

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
"""By how much of its size an example's state may differ with its neighbours: rounding in 16 bits is less."""


def keepable(module: TransferModule) -> FrozenPrefix | None:
    """The strategy's frozen prefix, where its output could be kept: it has a chain, and one pass of the model needs it."""
    prefix = module.strategy.frozen_prefix(module.model)
    if (
        prefix is None
        or not prefix.cacheable
        or not module.head.single_forward_pass
        or module.strategy.extra_data
    ):
        return None
    return prefix


def fault(
    module: TransferModule, prefix: FrozenPrefix, data: TransferData, split: str, precision: str
) -> str | None:
    """Why what the prefix gives cannot be kept; None where it can. Tried with the longest and the shortest example."""
    features = data.features[split]
    longest, shortest = (
        dict(features[int(at)]) for at in (features.lengths.argmax(), features.lengths.argmin())
    )
    together, alone = data.collate([longest, shortest]), data.collate([shortest])
    with autocast(precision, module.device):
        calls = watched(module, prefix, split, together)
        reason = fault_in(calls, prefix)
        if reason is not None:
            return reason
        state, apart = state_of(calls[-1][2]), state_of(watched(module, prefix, split, alone)[-1][2])
    if state.requires_grad:
        return "something moves in it or before it"
    mask, other = module.head.mask(together), module.head.mask(alone)
    if state.ndim == 3 and mask is not None and other is not None:
        state, apart = state[:, mask[1].bool()], apart[:, other[0].bool()]
    elif state.shape[1:] != apart.shape[1:]:
        return (
            f"what it gives changes its shape from batch to batch: {list(state.shape)}, {list(apart.shape)}"
        )
    if (state[1] - apart[0]).norm() > AGREEMENT * apart.norm():
        return "what it gives for an example depends on more than the example, such as its padding"
    return None


Call = tuple[nn.Module, Any, Any]
"""A module, its first argument, its output."""


def watched(module: TransferModule, prefix: FrozenPrefix, split: str, batch: Batch) -> list[Call]:
    """Return the calls of the chain's modules during a forward pass of the whole model."""
    calls: list[Call] = []

    def note(called: nn.Module, given: Any, named: dict[str, Any], output: Any) -> None:
        calls.append((called, given[0] if given else named.get("hidden_states"), output))

    handles = [each.register_forward_hook(note, with_kwargs=True) for each in prefix.cacheable]
    try:
        asked(module, split, batch)
    finally:
        for handle in handles:
            handle.remove()
    return calls


def fault_in(calls: list[Call], prefix: FrozenPrefix) -> str | None:
    name = type(prefix.cacheable[-1]).__name__
    if [called for called, _, _ in calls] != list(prefix.cacheable):
        return f"its {name} modules are not called once and one after another"
    if any(rest(output) is None for _, _, output in calls):
        return f"{name} gives more than a tensor"
    if any(given is not state_of(before[2]) for before, (_, given, _) in pairwise(calls)):
        return f"its {name} modules are not given each other's outputs"
    return None


def rest(output: Any) -> int | None:
    """How many empty places stand after the state; -1 where there is no tuple, None where they are not empty."""
    if isinstance(output, torch.Tensor):
        return -1
    single = (
        isinstance(output, tuple)
        and isinstance(output[0], torch.Tensor)
        and not any(each is not None for each in output[1:])
    )
    return len(output) - 1 if single else None


def state_of(output: Any) -> torch.Tensor:
    found: torch.Tensor = output if isinstance(output, torch.Tensor) else output[0]
    return found


def asked(module: TransferModule, split: str, batch: Batch) -> None:
    ask = module.head.training_step if split == "train" else module.head.predict
    ask(module.model, module.transfer_batch_to_device(batch, module.device, 0))
