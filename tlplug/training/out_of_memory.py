"""Memory that was not enough: at which batch, and which settings would help."""

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

SAYS = (
    *("out of memory", "can't allocate memory", "not enough memory", "cannot allocate memory"),
    *("std::bad_alloc", "alloc_failed"),
)
"""What a RuntimeError says that is about memory: of torch's CPU allocator, CUDA's libraries, Apple's and the C++ one."""
SHORT = 32
"""Tokens below which cutting texts is no advice."""
TOLD = 2


class BatchSeen(Callback):
    """Remembers which batch a training is at."""

    def __init__(self) -> None:
        self.examples = 0
        self.tokens = 0
        """Of the longest example; 0 where the head's batches have no mask to count them by."""
        self.stage = ""
        self.step = 0

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int
    ) -> None:
        self._see(pl_module, "training", trainer.global_step + 1, batch)

    def on_validation_batch_start(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        self._see(pl_module, "validation", batch_idx + 1, batch)

    def on_test_batch_start(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        self._see(pl_module, "testing", batch_idx + 1, batch)

    def _see(self, module: LightningModule, stage: str, step: int, batch: Any) -> None:
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
def explained(
    seen: BatchSeen, base: BaseInfo, strategy: Strategy, head: TaskHead, halved: str | None, accumulate: int
) -> Iterator[None]:
    """Turn an out-of-memory error of a training run into one message.

    Args:
        seen: among the callbacks of the training.
        halved: what to type for batches of half the size.
        accumulate: batches of an optimizer step.

    Raises:
        TrainingFailed: in the place of the error of whoever had no memory, which is its cause.
    """
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if not is_about_memory(error):
            raise
        helpful = remedies(seen, base, strategy, head, halved, accumulate)
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        advice = "; or ".join(helpful[:TOLD]) or "a smaller base model (model.source)"
        raise TrainingFailed(f"out of memory {seen} ({reason}). What would help: {advice}") from error


def is_about_memory(error: BaseException) -> bool:
    if isinstance(error, (MemoryError, torch.OutOfMemoryError)):
        return True
    return any(words in str(error).lower() for words in SAYS)


def remedies(
    seen: BatchSeen, base: BaseInfo, strategy: Strategy, head: TaskHead, halved: str | None, accumulate: int
) -> list[str]:
    """Settings that are not in use yet; first those that leave the training's result as it is."""
    found = []
    if seen.stage and halved:
        same = (
            f" trainer.accumulate_grad_batches={accumulate * 2} (about the same steps)" if seen.trains else ""
        )
        found.append(f"{halved}{same}")
    if seen.trains and not base.gradient_checkpointing:
        found.append("model.gradient_checkpointing=true")
    if base.dtype not in HALF_PRECISION:
        found.append("model.dtype=bfloat16")
    if strategy.load_options(head).quantization is None:
        found += quantized(head)
    if seen.tokens > SHORT and base.max_length is not None:
        found.append(f"data.max_length={seen.tokens // 2} (longer texts are cut)")
    return found


def quantized(head: TaskHead) -> list[str]:
    """Return how to choose an installed strategy that loads the base model quantized for this head; empty: there is none."""
    for plugin in Registry().plugins:
        # Advice on an error must not end in another one, such as that of a plugin that cannot be imported.
        with suppress(Exception):
            if plugin.kind == "strategy":
                strategy: Strategy = plugin.load()()
                packed = strategy.load_options(head).quantization is not None
                if packed and not strategy.why_incompatible(head):
                    return [f"strategy={plugin.name}"]
    return []
