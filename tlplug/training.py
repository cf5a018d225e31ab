"""One adaptation: load, adapt, fit, test. It knows of no other run."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lightning.pytorch import Callback, Trainer, seed_everything
from lightning.pytorch.loggers import Logger

from tlplug.contracts import (
    AdaptContext,
    BaseInfo,
    OptimizerSettings,
    Outcome,
    Rows,
    Strategy,
    TaskHead,
    TrainerSettings,
)
from tlplug.cost import CostMeter
from tlplug.data.module import TransferData
from tlplug.module import TransferModule

if TYPE_CHECKING:
    import torch
    from torch import nn


@dataclass(frozen=True)
class Prepared:
    """A task that any strategy can be trained on."""

    head: TaskHead
    base: BaseInfo
    rows: dict[str, Rows]
    """By split: train, validation, test."""
    data: TransferData
    trainer: TrainerSettings
    seed: int


def adapt(
    task: Prepared,
    strategy: Strategy,
    optimizer: OptimizerSettings,
    loggers: Sequence[Logger] = (),
    callbacks: Sequence[Callback] = (),
) -> tuple[nn.Module, Outcome]:
    """Adapt the base model by one strategy and test it.

    Args:
        optimizer: what the user set; the rest is the strategy's own.

    Returns:
        The adapted model and what it scored.
    """
    seed_everything(task.seed, workers=True, verbose=False)
    meter = CostMeter()
    trainer = build_trainer(task.trainer, loggers, [meter, *callbacks, *strategy.callbacks()])
    model = load(task, strategy, trainer.strategy.root_device)
    steps = total_steps(task.trainer, task.data.steps_per_epoch(trainer.world_size))
    settled = optimizer.over(strategy.optimizer_defaults)
    module = TransferModule(model, strategy, task.head, settled, steps, task.rows).train()
    fit_and_test(trainer, module, task.data)
    predictions = module.predictions["test"]
    return module.model, outcome(task.head, predictions, task.rows["test"], meter.cost(module))


def fit_and_test(trainer: Trainer, module: TransferModule, data: TransferData) -> None:
    """Both, or the interrupt that ended them, which Lightning turns into an exit with code 1."""
    try:
        trainer.fit(module, datamodule=data)
        trainer.test(module, datamodule=data, verbose=False)
    except SystemExit as ended:
        if trainer.interrupted:
            raise KeyboardInterrupt from ended
        raise


def load(task: Prepared, strategy: Strategy, device: torch.device) -> nn.Module:
    """The base model with the head, adapted, in training mode."""
    options = strategy.load_options(task.head)
    if options.quantization is not None:
        options = replace(options, device=str(device))
    model = task.head.load_model(task.base, options)
    context = AdaptContext(task.head, task.base, task.seed, task.data.train_batches, device)
    return strategy.adapt(model, context)


def outcome(
    head: TaskHead, predictions: list[dict[str, Any]], rows: Rows, cost: dict[str, float] | None = None
) -> Outcome:
    """Scores of predictions, over the rows that were predicted."""
    seen = {prediction["id"] for prediction in predictions}
    rows = [row for row in rows if row["id"] in seen]
    return Outcome(predictions, head.scores(predictions, rows), head.example_scores(predictions, rows), cost)


def build_trainer(
    settings: TrainerSettings, loggers: Sequence[Logger], callbacks: Sequence[Callback]
) -> Trainer:
    """Lightning's Trainer, with what tlplug does itself switched off: sampling, progress, checkpoints."""
    arguments = asdict(settings)
    if arguments["precision"] == "auto":
        arguments["precision"] = best_precision(settings.accelerator)
    return Trainer(
        **arguments,
        logger=list(loggers) or False,
        callbacks=list(callbacks),
        use_distributed_sampler=False,
        num_sanity_val_steps=0,
        enable_progress_bar=False,
        enable_model_summary=False,
        enable_checkpointing=False,
        default_root_dir=Path(loggers[0].save_dir or ".") if loggers else None,
    )


def best_precision(accelerator: str) -> str:
    import torch

    gpu = accelerator in ("auto", "gpu", "cuda") and torch.cuda.is_available()
    return "bf16-mixed" if gpu and torch.cuda.is_bf16_supported() else "32-true"


def total_steps(settings: TrainerSettings, batches: int) -> int:
    """Optimizer steps of the whole fit; asking the trainer would move a stateful loader."""
    limit = settings.limit_train_batches
    if isinstance(limit, float):
        batches = int(batches * limit)
    elif limit is not None:
        batches = min(batches, limit)
    steps = math.ceil(batches / settings.accumulate_grad_batches) * settings.max_epochs
    return steps if settings.max_steps < 0 else min(steps, settings.max_steps)
