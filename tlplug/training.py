"""One adaptation: load, adapt, fit, test. It knows of no other run."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping, Sequence
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
    UsageError,
)
from tlplug.cost import CostMeter
from tlplug.curve import LearningCurve
from tlplug.data.module import TransferData
from tlplug.frozen import ComputeOnce, Counting, silent
from tlplug.layers import new_parameters
from tlplug.module import TransferModule, in_order
from tlplug.precision import hold_moving_in_float32, settled

if TYPE_CHECKING:
    from typing import Protocol

    import torch
    from torch import nn

    class Watch(Protocol):
        """`evidence.Recorder`."""

        def before(self, model: nn.Module, device: torch.device) -> None: ...

        def begins(self, model: nn.Module) -> None: ...


log = logging.getLogger(__name__)


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
    counting: Counting = silent,
    watch: Watch | None = None,
) -> tuple[nn.Module, Outcome]:
    """Adapt the base model by one strategy and test it.

    Args:
        optimizer: what the user set; the rest is the strategy's own.
        counting: shows the progress of what is done to every row once.
        watch: shown the model before it is adapted and before it is trained.

    Returns:
        The adapted model and what it scored.
    """
    seed_everything(task.seed, workers=True, verbose=False)
    data = task.data.with_streams((*strategy.streams, *strategy.optional_streams))
    meter = CostMeter()
    curve = LearningCurve(task.head.primary, len(task.rows["train"]), data.steps_per_epoch)
    trainer = build_trainer(
        settings_for(strategy, task.trainer),
        loggers,
        [meter, curve, ComputeOnce(strategy, data, counting), *callbacks, *strategy.callbacks()],
        task.base.dtype,
    )
    steps = total_steps(task.trainer, task.data.steps_per_epoch(trainer.world_size))
    device = trainer.strategy.root_device
    module = module_for(task, strategy, optimizer, device, steps, watch)
    fit_and_test(trainer, module, data)
    found = outcome(module.head, module.predictions["test"], task.rows["test"], meter.cost(module))
    return module.model, replace(found, validation=module.scores.get("validation", {}), curve=curve.points)


def settings_for(strategy: Strategy, settings: TrainerSettings) -> TrainerSettings:
    """The trainer's settings; where what moves changes, processes must not wait for gradients that do not come."""
    if not strategy.capabilities.staged or settings.strategy not in ("auto", "ddp"):
        return settings
    several = settings.strategy == "ddp" or build_trainer(settings, (), (), "float32").world_size > 1
    return replace(settings, strategy="ddp_find_unused_parameters_true") if several else settings


def fit_and_test(trainer: Trainer, module: TransferModule, data: TransferData) -> None:
    """Both, or the interrupt that ended them, which Lightning turns into an exit with code 1."""
    try:
        if any(parameter.requires_grad for parameter in module.parameters()):
            trainer.fit(module, datamodule=data)
        if module.head.tunes:
            tune(trainer, module, data)
        trainer.test(module, datamodule=data, verbose=False)
    except SystemExit as ended:
        if trainer.interrupted:
            raise KeyboardInterrupt from ended
        raise


def tune(trainer: Trainer, module: TransferModule, data: TransferData) -> None:
    """Let the head find its decoding values on all validation rows, with the weights that are tested."""
    trainer.validate(module, dataloaders=data.whole_val_dataloader(), verbose=False)
    if "validation" not in module.outputs:
        log.warning("trainer.limit_val_batches=0: the head's decoding is not tuned")
        return
    outputs, rows = in_order(module.outputs["validation"], module.rows["validation"])
    module.head = module.head.with_decoding(module.head.tune(outputs, rows, module.base))
    log.info("tuned on %d validation rows: %s", len(rows), dict(module.head.decoding))


def module_for(
    task: Prepared,
    strategy: Strategy,
    optimizer: OptimizerSettings,
    device: torch.device,
    steps: int,
    watch: Watch | None = None,
) -> TransferModule:
    """Freshly loaded and adapted, in training mode.

    Args:
        steps: of the whole fit, for the schedule.
    """
    model = load(task, strategy, device, watch)
    if watch is not None:
        watch.begins(model)
    settled = optimizer.over(strategy.optimizer_defaults)
    return TransferModule(model, strategy, task.head, settled, steps, task.rows, task.base).train()


def load(task: Prepared, strategy: Strategy, device: torch.device, watch: Watch | None = None) -> nn.Module:
    """The base model with the head, adapted, in training mode."""
    options = strategy.load_options(task.head)
    if options.quantization is not None:
        options = replace(options, device=str(device))
    model = task.head.load_model(task.base, options)
    if watch is not None:
        watch.before(model, device)
    new = new_parameters(model)
    context = AdaptContext(task.head, task.base, task.seed, task.data.train_batches, device)
    adapted = strategy.adapt(model, context)
    refuse_random(new, adapted, task)
    return hold_moving_in_float32(adapted)


def refuse_random(new: Mapping[str, nn.Parameter], adapted: nn.Module, task: Prepared) -> None:
    """No part of a model stays random: what the base model's files lack has to move, or a copy of it."""
    left = {id(parameter) for name, parameter in adapted.named_parameters() if "original_module" not in name}
    random = [name for name, value in new.items() if id(value) in left and not value.requires_grad]
    if random:
        more = f" and {len(random) - 1} more" if len(random) > 1 else ""
        raise UsageError(
            f"base model {task.base.source}: its files have no {random[0]}{more}, which would be random and stay so "
            "with this strategy. Take a base model that was saved with it, or a strategy that moves it"
        )


def outcome(
    head: TaskHead, predictions: list[dict[str, Any]], rows: Rows, cost: dict[str, float] | None = None
) -> Outcome:
    """Scores of predictions, over the rows that were predicted."""
    seen = {prediction["id"] for prediction in predictions}
    rows = [row for row in rows if row["id"] in seen]
    scores, example_scores = head.scores(predictions, rows), head.example_scores(predictions, rows)
    return Outcome(predictions, scores, example_scores, cost, dict(head.decoding))


def build_trainer(
    settings: TrainerSettings, loggers: Sequence[Logger], callbacks: Sequence[Callback], dtype: str
) -> Trainer:
    """Lightning's Trainer, with what tlplug does itself switched off: sampling, progress, checkpoints."""
    arguments = asdict(settings)
    arguments["precision"] = settled(settings.precision, settings.accelerator, dtype)
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


def total_steps(settings: TrainerSettings, batches: int) -> int:
    """Optimizer steps of the whole fit; asking the trainer would move a stateful loader."""
    limit = settings.limit_train_batches
    if isinstance(limit, float):
        batches = int(batches * limit)
    elif limit is not None:
        batches = min(batches, limit)
    steps = math.ceil(batches / settings.accumulate_grad_batches) * settings.max_epochs
    return steps if settings.max_steps < 0 else min(steps, settings.max_steps)
