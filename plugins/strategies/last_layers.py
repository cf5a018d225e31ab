"""The top of the model moves."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tlplug import (
    AdaptContext,
    BaseInfo,
    FrozenPrefix,
    OptimizerSettings,
    Strategy,
    TaskHead,
    UsageError,
    is_inside,
    modules_to_save,
    parameter_depths,
    transformer_blocks,
)

if TYPE_CHECKING:
    from torch import nn


class LastLayers(Strategy):
    """Only the top blocks and the head move; what lies below runs once.

    Of n blocks the top k move, with the norm or pooler above them and the head; the embeddings and the n - k blocks
    below are frozen, without dropout (Yosinski et al. 2014; Lee et al. 2019, "What would ELSA do?", who find a
    fourth of the blocks enough). What the frozen part gives, [T, D] an example, is computed once and kept on disk, so
    that a step costs what the top blocks cost.

    Take it where full fine-tuning takes too long, or on a machine without a GPU. Not where the task's words or their
    order mean something else than in pretraining: the lower blocks cannot learn that. The blocks of an
    encoder-decoder are the encoder's and then the decoder's: the top ones are the decoder's, and nothing is kept.
    """

    contract = 1
    optimizer_defaults = OptimizerSettings(
        learning_rate=1e-4, weight_decay=0.01, schedule="linear", warmup=0.1
    )

    @dataclass
    class Config:
        layers: int = 2
        """How many blocks move; 0: what lies above all of them alone."""
        cache: bool = True
        """Keep the frozen part's output on disk, so that it is computed once."""

        def __post_init__(self) -> None:
            if self.layers < 0:
                raise ValueError(f"layers is {self.layers}; it has to be at least 0")

    def why_incompatible(self, head: TaskHead, base: BaseInfo | None = None) -> str | None:
        from tlplug_plugins.strategies.layers.meta_model import outline

        if base is None:
            return None
        try:
            fault = self._fault(outline(base))
        except ValueError as error:
            fault = f"it goes by depth, and {error}"
        return fault and f"{fault}."

    def adapt(self, model: nn.Module, context: AdaptContext) -> nn.Module:
        if fault := self._fault(model):
            raise UsageError(fault)
        moving = self._moving(model, context.head)
        if not moving:
            raise UsageError(
                f"nothing of {type(model).__name__} lies above its blocks: set strategy.layers to 1 or more"
            )
        for name, parameter in model.named_parameters():
            parameter.requires_grad = name in moving
        return model

    def _fault(self, model: nn.Module) -> str | None:
        present = len(transformer_blocks(model))
        if self.config.layers <= present:
            return None
        return f"strategy.layers={self.config.layers}, and {type(model).__name__} has {present} blocks"

    def _moving(self, model: nn.Module, head: TaskHead) -> set[str]:
        """Names of the parameters that move."""
        lowest = len(transformer_blocks(model)) - self.config.layers + 1
        whole = modules_to_save(model, head.head_modules)
        return {
            name
            for name, depth in parameter_depths(model).items()
            if depth >= lowest or is_inside(name, whole)
        }

    def frozen_prefix(self, model: nn.Module) -> FrozenPrefix:
        every = list(transformer_blocks(model).values())
        lower = every[: len(every) - self.config.layers]
        kept = self.config.cache and not model.config.is_encoder_decoder
        return FrozenPrefix([*below(model.base_model, every), *lower], lower if kept else [])


def below(trunk: nn.Module, every: Sequence[nn.Module]) -> Iterator[nn.Module]:
    """What runs before the blocks: what is made before them, with its dropout, and embeddings that are made later."""
    passed = {inner for block in every for inner in block.modules()}
    reached = False
    for name, module in trunk.named_modules():
        reached = reached or module is every[0]
        if module in passed or every[0] in set(module.modules()):
            continue
        bottom = not reached or "emb" in name.rpartition(".")[2]
        if bottom and not any(parameter.requires_grad for parameter in module.parameters()):
            passed.update(module.modules())
            yield module
