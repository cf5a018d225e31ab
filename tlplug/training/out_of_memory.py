"""Explain an out-of-memory error: the batch, and settings that need less memory."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer

from tlplug.errors import TrainingFailed
from tlplug.interfaces import BaseInfo, Strategy, TaskHead
from tlplug.interfaces.registry import Registry
from tlplug.models.precision import HALF_PRECISION
from tlplug.training.module import MAIN, TransferModule, by_stream

MEMORY_WORDS = (
    *("out of memory", "can't allocate memory", "not enough memory", "cannot allocate memory"),
    *("std::bad_alloc", "alloc_failed"),
)
"""Parts of the memory errors of torch's CPU allocator, CUDA's libraries, Apple's and C++."""
SHORT = 32
"""Tokens below which shorter texts are not suggested."""
MOST_REMEDIES = 2


class CurrentBatch(Callback):
    """Records the stage, step and size of the current batch."""

    def __init__(self) -> None:
        self.examples = 0
        self.tokens = 0
        """The length of the longest example; 0 where the head's batches have no mask."""
        self.stage = ""
        self.step = 0

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int
    ) -> None:
        self._record(pl_module, "training", trainer.global_step + 1, batch)

    def on_validation_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int, *_: Any
    ) -> None:
        self._record(pl_module, "validation", batch_idx + 1, batch)

    def on_test_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int, *_: Any
    ) -> None:
        self._record(pl_module, "testing", batch_idx + 1, batch)

    def _record(self, module: LightningModule, stage: str, step: int, batch: Any) -> None:
        assert isinstance(module, TransferModule)
        self.stage, self.step = stage, step
        own = by_stream(batch)[MAIN]
        mask = module.head.mask(own)
        self.examples, self.tokens = (len(own["id"]), 0) if mask is None else mask.shape

    @property
    def trains(self) -> bool:
        return self.stage in ("", "training")

    def __str__(self) -> str:
        if not self.stage:
            return "before the first batch"
        size = f"{self.examples} examples{f' of {self.tokens} tokens' if self.tokens else ''}"
        return f"in step {self.step} of {self.stage}, with a batch of {size}"


@contextmanager
def explain_out_of_memory(
    seen: CurrentBatch,
    base: BaseInfo,
    strategy: Strategy,
    head: TaskHead,
    halved: str | None,
    accumulate: int,
) -> Iterator[None]:
    """Turn an out-of-memory error of a training run into one message.

    Args:
        seen: a callback of the trainer.
        halved: the override for batches of half the size.
        accumulate: the number of batches in an optimizer step.

    Raises:
        TrainingFailed: memory ran out; its cause is the original error.
    """
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if not is_about_memory(error):
            raise
        helpful = remedies(seen, base, strategy, head, halved, accumulate)
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        advice = "; or ".join(helpful[:MOST_REMEDIES]) or "a smaller base model (model.source)"
        raise TrainingFailed(f"out of memory {seen} ({reason}). What would help: {advice}") from error


def is_about_memory(error: BaseException) -> bool:
    if isinstance(error, (MemoryError, torch.OutOfMemoryError)):
        return True
    return any(words in str(error).lower() for words in MEMORY_WORDS)


def remedies(
    seen: CurrentBatch,
    base: BaseInfo,
    strategy: Strategy,
    head: TaskHead,
    halved: str | None,
    accumulate: int,
) -> list[str]:
    """Return settings that are not in use yet, first those that do not change the result."""
    settings = []
    if seen.stage and halved:
        same = (
            f" trainer.accumulate_grad_batches={accumulate * 2} (about the same steps)" if seen.trains else ""
        )
        settings.append(f"{halved}{same}")
    if seen.trains and not base.gradient_checkpointing:
        settings.append("model.gradient_checkpointing=true")
    if base.dtype not in HALF_PRECISION:
        settings.append("model.dtype=bfloat16")
    if strategy.load_options(head).quantization is None:
        settings += quantized_strategy(head)
    if seen.tokens > SHORT and base.max_length is not None:
        settings.append(f"data.max_length={seen.tokens // 2} (longer texts are cut)")
    return settings


def quantized_strategy(head: TaskHead) -> list[str]:
    """Return the override for an installed strategy that quantizes the base model for this head, if there is one."""
    for plugin in Registry().plugins:
        # Advice on an error must not end in another one, such as that of a plugin that cannot be imported.
        with suppress(Exception):
            if plugin.kind == "strategy":
                strategy: Strategy = plugin.load()()
                packed = strategy.load_options(head).quantization is not None
                if packed and not strategy.why_incompatible(head):
                    return [f"strategy={plugin.name}"]
    return []
