"""Compute one feature vector per example from the last hidden states of a transformers model."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from tlplug import Batch, StepOutput, TaskHead

if TYPE_CHECKING:
    import torch
    from torch import nn
    from transformers import PreTrainedModel


@dataclass(frozen=True)
class ModuleCall:
    """The arguments and the output of one call of a trunk."""

    arguments: tuple[Any, ...]
    keywords: Mapping[str, Any]
    output: Any

    def pooled(self, head: TaskHead, batch: Batch) -> torch.Tensor:
        return mean_pooled(self.output, head.mask(batch))


def trunk(model: nn.Module) -> nn.Module:
    """Return the model without its head; of an encoder-decoder, the encoder."""
    pretrained = cast("PreTrainedModel", model)
    return pretrained.get_encoder() if pretrained.config.is_encoder_decoder else pretrained.base_model


def mean_pooled(output: Any, mask: torch.Tensor | None) -> torch.Tensor:
    """Return the mean [B, D], in float32, of the last hidden states [B, T, D] over each row's real positions."""
    from tlplug_plugins.strategies.layers.linear_probe import mean

    return mean(output.last_hidden_state.float(), mask)


def features_of(trunk: nn.Module, head: TaskHead, batch: Batch) -> torch.Tensor:
    """Return the features [B, D] of a batch without targets."""
    return mean_pooled(trunk(**head.model_inputs(batch)), head.mask(batch))


def step_and_call(model: nn.Module, head: TaskHead, batch: Batch) -> tuple[StepOutput, ModuleCall]:
    """Return the head's step and the trunk's call in it, whose features need no further pass."""
    with calls_of(trunk(model)) as calls:
        step = head.training_step(model, batch)
    return step, calls[-1]


@contextmanager
def calls_of(module: nn.Module) -> Iterator[list[ModuleCall]]:
    """Record every call of the module in a list."""
    calls: list[ModuleCall] = []

    def record(_: nn.Module, arguments: tuple[Any, ...], keywords: Mapping[str, Any], output: Any) -> None:
        calls.append(ModuleCall(arguments, keywords, output))

    handle = module.register_forward_hook(record, with_kwargs=True)
    try:
        yield calls
    finally:
        handle.remove()
