"""What a transformers model makes of an example: one vector, out of the last hidden states of its trunk."""

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
class Call:
    """One call of a trunk."""

    arguments: tuple[Any, ...]
    named: Mapping[str, Any]
    output: Any

    def pooled(self, head: TaskHead, batch: Batch) -> torch.Tensor:
        return mean_pooled(self.output, head.mask(batch))


def trunk(model: nn.Module) -> nn.Module:
    """What gives the features: all but the head, and of an encoder-decoder the encoder."""
    found = cast("PreTrainedModel", model)
    return found.get_encoder() if found.config.is_encoder_decoder else found.base_model


def mean_pooled(output: Any, mask: torch.Tensor | None) -> torch.Tensor:
    """The mean of the last hidden states [B, T, D] over each row's real positions, [B, D] in float32."""
    from tlplug_plugins.strategies.layers.linear_probe import mean

    return mean(output.last_hidden_state.float(), mask)


def features_of(trunk: nn.Module, head: TaskHead, batch: Batch) -> torch.Tensor:
    """Features [B, D] of a batch that the head has no targets for."""
    return mean_pooled(trunk(**head.model_inputs(batch)), head.mask(batch))


def step_and_call(model: nn.Module, head: TaskHead, batch: Batch) -> tuple[StepOutput, Call]:
    """The head's step, and what the trunk was given and gave in it: its features need no pass of their own."""
    with calls_of(trunk(model)) as calls:
        step = head.training_step(model, batch)
    return step, calls[-1]


@contextmanager
def calls_of(module: nn.Module) -> Iterator[list[Call]]:
    """While it lasts, every call of the module is put into the list."""
    calls: list[Call] = []

    def note(_: nn.Module, arguments: tuple[Any, ...], named: Mapping[str, Any], output: Any) -> None:
        calls.append(Call(arguments, named, output))

    handle = module.register_forward_hook(note, with_kwargs=True)
    try:
        yield calls
    finally:
        handle.remove()
