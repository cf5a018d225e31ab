"""Compute the features of one example or of a head's inputs, for strategies that align features."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, cast

from tlplug import REQUIRED, AdaptContext, BaseInfo, Batch, StepOutput, TaskHead, modules_to_save
from tlplug_plugins.strategies.full import Full
from tlplug_plugins.strategies.linear_probe import NEEDS_LOGITS

if TYPE_CHECKING:
    import torch
    from torch import nn
    from transformers import PreTrainedModel


class DomainAdaptation(Full):
    """Full fine-tuning with a further loss of the features of two domains.

    Features [B, D] are what the head is given to classify a text by: of encoders mostly the pooled first token, of
    decoders the state of the last real one.
    """

    extra_data: ClassVar = {"target": REQUIRED}

    @dataclass
    class Config(Full.Config):
        weight: float = 1.0

        def __post_init__(self) -> None:
            super().__post_init__()
            if self.weight < 0.0:
                raise ValueError(f"weight is {self.weight}; it must be at least 0")

    pooling: str
    """The pooling of a text's states if the head gets all of them: a key of `POOLINGS`."""

    def why_incompatible(self, head: TaskHead, base: BaseInfo | None = None) -> str | None:
        return super().why_incompatible(head, base) if head.logits_per_row else NEEDS_LOGITS

    def adapt(self, model: nn.Module, context: AdaptContext) -> nn.Module:
        self.pooling = "last" if context.base.kind == "decoder" else "cls"
        return super().adapt(model, context)

    def step_and_features(
        self, model: nn.Module, head: TaskHead, batches: Mapping[str, Batch]
    ) -> tuple[StepOutput, torch.Tensor, torch.Tensor]:
        """Return the head's step on the task's batch and the features of that batch and of the target's."""
        main, target = batches["main"], batches["target"]
        with record_head_inputs(model, head) as source_inputs:
            step = head.training_step(model, main)
        with record_head_inputs(model, head) as target_inputs:
            model(**head.model_inputs(target))
        source_features = self._pool(source_inputs[0], head.mask(main))
        return step, source_features, self._pool(target_inputs[0], head.mask(target))

    def _pool(self, states: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
        from tlplug_plugins.strategies.layers.features import POOLINGS

        states = states.float()
        return states if states.ndim == 2 else POOLINGS[self.pooling](states, mask)


@contextmanager
def record_head_inputs(model: nn.Module, head: TaskHead) -> Iterator[list[torch.Tensor]]:
    """Record the inputs of the head's modules in a list, in the order of the calls."""
    inputs: list[torch.Tensor] = []

    def record(_: nn.Module, arguments: tuple[Any, ...]) -> None:
        inputs.append(arguments[0])

    names = modules_to_save(model, head.head_modules)
    handles = [model.get_submodule(name).register_forward_pre_hook(record) for name in names]
    try:
        yield inputs
    finally:
        for handle in handles:
            handle.remove()


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
    from tlplug_plugins.strategies.layers.features import mean

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
