"""One adaptation: load, adapt, fit, test. It knows of no other run."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lightning.pytorch import Callback, Trainer, seed_everything
from lightning.pytorch.loggers import Logger

from tlplug.data.datamodule import TransferData
from tlplug.errors import UsageError
from tlplug.interfaces import AdaptContext, Outcome, Rows, Strategy, TaskHead
from tlplug.models.dropout import use_byte_dropout
from tlplug.models.layers import newly_initialized
from tlplug.models.precision import cast_trainable_to_float32, resolve_precision
from tlplug.models.predict import order_outputs
from tlplug.runtime.console import Reporter
from tlplug.runtime.imports import import_without_dynamo
from tlplug.settings import OptimizerSettings, TrainerSettings
from tlplug.training.checkpoint import Checkpoints
from tlplug.training.checkpoint_files import WholeFiles
from tlplug.training.cost import CostMeter
from tlplug.training.learning_curve import LearningCurve
from tlplug.training.module import BoundTask, TransferModule
from tlplug.training.nonfinite import StopOnNonFinite
from tlplug.training.out_of_memory import BatchSeen, explained
from tlplug.training.prefix_cache.compute import ComputeOnce
from tlplug.training.trainer import build_trainer, settings_for, total_steps

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
class Prepared(BoundTask):
    """A task that any strategy can be trained on."""

    data: TransferData
    trainer: TrainerSettings
    seed: int


@dataclass(frozen=True)
class TrainingHooks:
    """What goes along with a training run and does not change it."""

    loggers: Sequence[Logger] = ()
    callbacks: Sequence[Callback] = ()
    reporter: Reporter = field(default_factory=Reporter)
    watch: Watch | None = None
    """Sees the model before it is adapted, and before it is trained."""
    checkpoints: Checkpoints | None = None
    """Writes checkpoints, and finds the one to resume from."""


def adapt(
    task: Prepared,
    strategy: Strategy,
    optimizer: OptimizerSettings,
    hooks: TrainingHooks = TrainingHooks(),
) -> tuple[nn.Module, Outcome]:
    """Adapt the base model by one strategy and test it.

    Args:
        optimizer: what the user set; the rest is the strategy's own.

    Returns:
        The adapted model and what it scored.
    """
    checkpoints = hooks.checkpoints
    begun = None if checkpoints is None else checkpoints.begin()
    seed_everything(task.seed, workers=True, verbose=False)
    data = task.data.with_streams(strategy.extra_data)
    meter, seen = CostMeter(), BatchSeen()
    curve = LearningCurve(task.head.primary_score, len(task.rows["train"]), data.steps_per_epoch)
    trainer = build_trainer(
        settings_for(strategy, task.trainer),
        hooks.loggers,
        [
            StopOnNonFinite(),
            seen,
            meter,
            curve,
            ComputeOnce(strategy, data, hooks.reporter),
            *hooks.callbacks,
            *strategy.callbacks(),
            *([] if checkpoints is None else [checkpoints]),
        ],
        task.base.dtype,
    )
    steps = total_steps(task.trainer, data.steps_per_epoch(trainer.world_size))
    device = trainer.strategy.root_device
    accumulated = task.trainer.accumulate_grad_batches
    with explained(seen, task.base, strategy, task.head, data.suggest_smaller_batch(), accumulated):
        module = module_for(task, strategy, optimizer, device, steps, hooks.watch)
        fit(trainer, module, data, begun)
        if checkpoints is not None and (best := checkpoints.chosen()) is not None:
            take(module, best)
        tuned = test(trainer, module, data)
    found = outcome(module.head, module.predictions["test"], task.rows["test"], meter.cost(module))
    return module.model, replace(
        found, tuned=tuned, validation=module.scores.get("validation", {}), curve=curve.points
    )


def fit(trainer: Trainer, module: TransferModule, data: TransferData, begun: Path | None) -> None:
    """Nothing where nothing moves.

    Args:
        begun: the checkpoint to go on from.
    """
    if any(parameter.requires_grad for parameter in module.parameters()):
        trainer.fit(module, datamodule=data, ckpt_path=begun, weights_only=True)
        free(trainer, module)


def free(trainer: Trainer, module: TransferModule) -> None:
    """What only a fit needs, which the test and the look at the model would lie beside: three times what moves."""
    module.zero_grad()
    for optimizer in trainer.optimizers:
        optimizer.state.clear()


def take(module: TransferModule, path: Path) -> None:
    """Replace the last weights and validation scores by those of a checkpoint."""
    found = WholeFiles().load_checkpoint(path)
    module.on_load_checkpoint(found)
    module.load_state_dict(found["state_dict"], strict=False)


def test(trainer: Trainer, module: TransferModule, data: TransferData) -> dict[str, Any]:
    """Test the weights, with what the head has tuned; returns that."""
    tuned = tune(trainer, module, data) if module.head.tunes else {}
    trainer.test(module, datamodule=data, verbose=False)
    return tuned


def tune(trainer: Trainer, module: TransferModule, data: TransferData) -> dict[str, Any]:
    """Let the head find values for `decode` on all validation rows, with the weights that are tested; returns them."""
    trainer.validate(module, dataloaders=data.full_val_dataloader(), verbose=False)
    if "validation" not in module.outputs:
        log.warning("trainer.limit_val_batches=0: the head's decoding is not tuned")
        return {}
    outputs, rows = order_outputs(module.outputs["validation"], module.rows["validation"])
    tuned = module.head.tune(outputs, rows, module.base)
    module.head = module.head.with_state({**module.head.state, **tuned})
    log.info("tuned on %d validation rows: %s", len(rows), tuned)
    return tuned


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
    return TransferModule(model, strategy, task, settled, steps).train()


def load(task: Prepared, strategy: Strategy, device: torch.device, watch: Watch | None = None) -> nn.Module:
    """Return the base model with the head, adapted, in training mode."""
    import_without_dynamo("peft")
    options = strategy.load_options(task.head)
    if options.quantization is not None:
        options = replace(options, device=str(device))
    model = task.head.load_model(task.base, options)
    if watch is not None:
        watch.before(model, device)
    new = newly_initialized(model)
    precision = resolve_precision(task.trainer.precision, task.trainer.accelerator, task.base.dtype)
    context = AdaptContext(task.head, task.base, task.seed, task.data.train_batches, device, precision)
    adapted = strategy.adapt(model, context)
    refuse_random(new, adapted, task)
    if task.base.fast_dropout and device.type == "cpu":
        use_byte_dropout(adapted)
    cast_trainable_to_float32(adapted)
    if task.base.compile:
        adapted.compile(dynamic=True)
    return adapted


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
    return Outcome(predictions, scores, example_scores, cost)
