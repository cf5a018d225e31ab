"""Train the top blocks of the model."""

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
    """Only the top blocks and the head are trained; the blocks below run once.

    Of n blocks the top k are trained, with the norm or pooler above them and the head; the embeddings and the n - k blocks
    below are frozen, without dropout (Yosinski et al. 2014; Lee et al. 2019, "What would ELSA do?", who find a
    fourth of the blocks enough). The output of the frozen part, [T, D] an example, is computed once and cached on disk, so
    that a step costs what the top blocks cost.

    Take it where full fine-tuning takes too long, or on a machine without a GPU. Not where the task's words or their
    order mean something else than in pretraining: the lower blocks cannot learn that. The blocks of an
    encoder-decoder are the encoder's and then the decoder's: the top ones are the decoder's, and nothing is cached.
    """

    contract = 1
    optimizer_defaults = OptimizerSettings(
        learning_rate=1e-4, weight_decay=0.01, schedule="linear", warmup=0.1
    )

    @dataclass
    class Config:
        layers: int = 2
        """The number of trainable blocks; 0: only what lies above all of them."""
        cache: bool = True
        """Cache the output of the frozen part on disk, so that it is computed once."""

        def __post_init__(self) -> None:
            if self.layers < 0:
                raise ValueError(f"layers is {self.layers}; it must be at least 0")

    def why_incompatible(self, head: TaskHead, base: BaseInfo | None = None) -> str | None:
        from tlplug_plugins.strategies.layers import outline

        if base is None:
            return None
        try:
            error = self._layers_error(outline(base))
        except ValueError as no_depths:
            error = f"it needs the depth of each parameter, but {no_depths}"
        return error and f"{error}."

    def adapt(self, model: nn.Module, context: AdaptContext) -> nn.Module:
        if error := self._layers_error(model):
            raise UsageError(error)
        trainable = self._trainable(model, context.head)
        if not trainable:
            raise UsageError(
                f"{type(model).__name__} has no modules above its blocks; set strategy.layers to 1 or more"
            )
        for name, parameter in model.named_parameters():
            parameter.requires_grad = name in trainable
        return model

    def _layers_error(self, model: nn.Module) -> str | None:
        count = len(transformer_blocks(model))
        if self.config.layers <= count:
            return None
        return f"strategy.layers={self.config.layers}, but {type(model).__name__} has {count} blocks"

    def _trainable(self, model: nn.Module, head: TaskHead) -> set[str]:
        """Return the names of the trainable parameters."""
        lowest = len(transformer_blocks(model)) - self.config.layers + 1
        head_modules = modules_to_save(model, head.head_modules)
        return {
            name
            for name, depth in parameter_depths(model).items()
            if depth >= lowest or is_inside(name, head_modules)
        }

    def frozen_prefix(self, model: nn.Module) -> FrozenPrefix:
        blocks = list(transformer_blocks(model).values())
        lower = blocks[: len(blocks) - self.config.layers]
        cached = self.config.cache and not model.config.is_encoder_decoder
        return FrozenPrefix([*modules_below(model.base_model, blocks), *lower], lower if cached else [])


def modules_below(trunk: nn.Module, blocks: Sequence[nn.Module]) -> Iterator[nn.Module]:
    """Yield the frozen modules that run before the blocks: those defined before them, and embeddings defined after."""
    excluded = {inner for block in blocks for inner in block.modules()}
    reached = False
    for name, module in trunk.named_modules():
        reached = reached or module is blocks[0]
        if module in excluded or blocks[0] in set(module.modules()):
            continue
        bottom = not reached or "emb" in name.rpartition(".")[2]
        if bottom and not any(parameter.requires_grad for parameter in module.parameters()):
            excluded.update(module.modules())
            yield module
