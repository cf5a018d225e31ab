"""Build Lightning's Trainer from the settings."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path

from lightning.pytorch import Callback, Trainer
from lightning.pytorch.loggers import Logger

from tlplug.interfaces import Strategy
from tlplug.models.precision import resolve_precision
from tlplug.runtime.compat import disable_signal_handlers
from tlplug.settings import TrainerSettings
from tlplug.training.checkpoint import Checkpoints
from tlplug.training.checkpoint_files import AtomicCheckpointIO


def build_trainer(
    settings: TrainerSettings, loggers: Sequence[Logger], callbacks: Sequence[Callback], dtype: str
) -> Trainer:
    """Return Lightning's Trainer without its own sampling, progress and signal handling."""
    arguments = asdict(settings)
    arguments["precision"] = resolve_precision(settings.precision, settings.accelerator, dtype)
    trainer = Trainer(
        **arguments,
        logger=list(loggers) or False,
        callbacks=list(callbacks),
        use_distributed_sampler=False,
        num_sanity_val_steps=0,
        enable_progress_bar=False,
        enable_model_summary=False,
        enable_checkpointing=any(isinstance(callback, Checkpoints) for callback in callbacks),
        plugins=[AtomicCheckpointIO()],
        default_root_dir=Path(loggers[0].save_dir or ".") if loggers else None,
    )
    disable_signal_handlers(trainer)
    return trainer


def total_steps(settings: TrainerSettings, batches: int) -> int:
    """Return the number of optimizer steps of a fit; Lightning's own estimate would advance a stateful loader."""
    limit = settings.limit_train_batches
    if isinstance(limit, float):
        batches = int(batches * limit)
    elif limit is not None:
        batches = min(batches, limit)
    steps = math.ceil(batches / settings.accumulate_grad_batches) * settings.max_epochs
    return steps if settings.max_steps < 0 else min(steps, settings.max_steps)


def adjust_for_strategy(strategy: Strategy, settings: TrainerSettings) -> TrainerSettings:
    """Return the trainer's settings; if trainable weights change during training, DDP has to look for unused parameters."""
    if not strategy.capabilities.changes_trainable_weights or settings.strategy not in ("auto", "ddp"):
        return settings
    several = settings.strategy == "ddp" or build_trainer(settings, (), (), "float32").world_size > 1
    return replace(settings, strategy="ddp_find_unused_parameters_true") if several else settings
