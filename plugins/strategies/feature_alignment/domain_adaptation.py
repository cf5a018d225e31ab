"""What strategies share that adapt to another domain."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from tlplug import REQUIRED, AdaptContext, BaseInfo, Batch, StepOutput, TaskHead, modules_to_save
from tlplug_plugins.strategies.full import Full
from tlplug_plugins.strategies.linear_probe import NEEDS_LOGITS

if TYPE_CHECKING:
    import torch
    from torch import nn


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
                raise ValueError(f"weight is {self.weight}; it has to be at least 0")

    summary: str
    """Which of a text's states the head reads where it is given all of them: a key of `POOLINGS`."""

    def why_incompatible(self, head: TaskHead, base: BaseInfo | None = None) -> str | None:
        return super().why_incompatible(head, base) if head.logits_per_row else NEEDS_LOGITS

    def adapt(self, model: nn.Module, context: AdaptContext) -> nn.Module:
        self.summary = "last" if context.base.kind == "decoder" else "cls"
        return super().adapt(model, context)

    def step_and_features(
        self, model: nn.Module, head: TaskHead, batches: Mapping[str, Batch]
    ) -> tuple[StepOutput, torch.Tensor, torch.Tensor]:
        """The head's step on the task's batch, that batch's features, and those of the target's batch."""
        main, target = batches["main"], batches["target"]
        with given_to(model, head) as first:
            step = head.training_step(model, main)
        with given_to(model, head) as other:
            model(**head.model_inputs(target))
        masks = head.mask(main), head.mask(target)
        return step, self._summarized(first[0], masks[0]), self._summarized(other[0], masks[1])

    def _summarized(self, states: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
        from tlplug_plugins.strategies.layers.linear_probe import POOLINGS

        states = states.float()
        return states if states.ndim == 2 else POOLINGS[self.summary](states, mask)


@contextmanager
def given_to(model: nn.Module, head: TaskHead) -> Iterator[list[torch.Tensor]]:
    """While it lasts, the list gets what the head's modules are given, in the order of their calls."""
    given: list[torch.Tensor] = []

    def note(_: nn.Module, arguments: tuple[Any, ...]) -> None:
        given.append(arguments[0])

    names = modules_to_save(model, head.head_modules)
    handles = [model.get_submodule(name).register_forward_pre_hook(note) for name in names]
    try:
        yield given
    finally:
        for handle in handles:
            handle.remove()
