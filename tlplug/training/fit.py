"""Load, adapt, fit and test one model."""

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
from tlplug.training.checkpoint_files import AtomicCheckpointIO
from tlplug.training.cost import CostMeter
from tlplug.training.learning_curve import LearningCurve
from tlplug.training.module import BoundTask, TransferModule
from tlplug.training.nonfinite import StopOnNonFinite
from tlplug.training.out_of_memory import CurrentBatch, explain_out_of_memory
from tlplug.training.prefix_cache.compute import ComputeOnce
from tlplug.training.trainer import adjust_for_strategy, build_trainer, total_steps

if TYPE_CHECKING:
    from typing import Protocol

    import torch
    from torch import nn

    class Watch(Protocol):
        """`evidence.Recorder`."""

        def before(self, model: nn.Module, device: torch.device) -> None: ...

        def before_training(self, model: nn.Module) -> None: ...


log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Prepared(BoundTask):
    """A task that any strategy can be trained on."""

    data: TransferData
    trainer: TrainerSettings
    seed: int


@dataclass(frozen=True)
class TrainingHooks:
    """Loggers, callbacks and recorders that do not change the result of a training run."""

    loggers: Sequence[Logger] = ()
    callbacks: Sequence[Callback] = ()
    reporter: Reporter = field(default_factory=Reporter)
    watch: Watch | None = None
    """Records the model before it is adapted, and before it is trained."""
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
        optimizer: the user's settings; the strategy's defaults fill in the rest.

    Returns:
        The adapted model and its outcome.
    """
    checkpoints = hooks.checkpoints
    resume_from = None if checkpoints is None else checkpoints.begin()
    seed_everything(task.seed, workers=True, verbose=False)
    data = task.data.with_streams(strategy.extra_data)
    meter, seen = CostMeter(), CurrentBatch()
    curve = LearningCurve(task.head.primary_score, len(task.rows["train"]), data.steps_per_epoch)
    trainer = build_trainer(
        adjust_for_strategy(strategy, task.trainer),
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
    with explain_out_of_memory(
        seen, task.base, strategy, task.head, data.suggest_smaller_batch(), accumulated
    ):
        module = build_module(task, strategy, optimizer, device, steps, hooks.watch)
        fit(trainer, module, data, resume_from)
        if checkpoints is not None and (best := checkpoints.best_path()) is not None:
            load_weights(module, best)
        tuned = test(trainer, module, data)
    tested = outcome(module.head, module.predictions["test"], task.rows["test"], meter.cost(module))
    return module.model, replace(
        tested, tuned=tuned, validation=module.scores.get("validation", {}), curve=curve.points
    )


def fit(trainer: Trainer, module: TransferModule, data: TransferData, resume_from: Path | None) -> None:
    """Fit the model, if it has trainable weights.

    Args:
        resume_from: a checkpoint.
    """
    if any(parameter.requires_grad for parameter in module.parameters()):
        trainer.fit(module, datamodule=data, ckpt_path=resume_from, weights_only=True)
        # Gradients and optimizer states take three times the memory of the trainable weights.
        module.zero_grad()
        for optimizer in trainer.optimizers:
            optimizer.state.clear()


def load_weights(module: TransferModule, path: Path) -> None:
    """Load the weights and validation scores of a checkpoint."""
    checkpoint = AtomicCheckpointIO().load_checkpoint(path)
    module.on_load_checkpoint(checkpoint)
    module.load_state_dict(checkpoint["state_dict"], strict=False)


def test(trainer: Trainer, module: TransferModule, data: TransferData) -> dict[str, Any]:
    """Tune the head's decoding if it can be tuned, test the model, and return the tuned values."""
    tuned = tune(trainer, module, data) if module.head.tunes else {}
    trainer.test(module, datamodule=data, verbose=False)
    return tuned


def tune(trainer: Trainer, module: TransferModule, data: TransferData) -> dict[str, Any]:
    """Tune the head's values for `decode` on all validation rows, and return them."""
    trainer.validate(module, dataloaders=data.full_val_dataloader(), verbose=False)
    if "validation" not in module.outputs:
        log.warning("trainer.limit_val_batches=0: the head's decoding is not tuned")
        return {}
    outputs, rows = order_outputs(module.outputs["validation"], module.rows["validation"])
    tuned = module.head.tune(outputs, rows, module.base)
    module.head = module.head.with_state({**module.head.state, **tuned})
    log.info("tuned on %d validation rows: %s", len(rows), tuned)
    return tuned


def build_module(
    task: Prepared,
    strategy: Strategy,
    optimizer: OptimizerSettings,
    device: torch.device,
    steps: int,
    watch: Watch | None = None,
) -> TransferModule:
    """Load and adapt a model, and return its module in training mode.

    Args:
        steps: the number of optimizer steps, for the schedule.
    """
    model = load(task, strategy, device, watch)
    if watch is not None:
        watch.before_training(model)
    settings = optimizer.over(strategy.optimizer_defaults)
    return TransferModule(model, strategy, task, settings, steps).train()


def load(task: Prepared, strategy: Strategy, device: torch.device, watch: Watch | None = None) -> nn.Module:
    """Load the base model with the head, and adapt it."""
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
    check_no_random_weights(new, adapted, task)
    if task.base.fast_dropout and device.type == "cpu":
        use_byte_dropout(adapted)
    cast_trainable_to_float32(adapted)
    if task.base.compile:
        adapted.compile(dynamic=True)
    return adapted


def check_no_random_weights(new: Mapping[str, nn.Parameter], adapted: nn.Module, task: Prepared) -> None:
    """Raise where a weight that the base model's files lack would not be trained.

    Raises:
        UsageError: a new weight is frozen.
    """
    remaining = {
        id(parameter) for name, parameter in adapted.named_parameters() if "original_module" not in name
    }
    random = [name for name, value in new.items() if id(value) in remaining and not value.requires_grad]
    if random:
        more = f" and {len(random) - 1} more" if len(random) > 1 else ""
        raise UsageError(
            f"base model {task.base.source}: its files have no {random[0]}{more}, which would stay random "
            "with this strategy. Choose a base model that was saved with it, or a strategy that trains it"
        )


def outcome(
    head: TaskHead, predictions: list[dict[str, Any]], rows: Rows, cost: dict[str, float] | None = None
) -> Outcome:
    """Score predictions on their rows."""
    predicted = {prediction["id"] for prediction in predictions}
    rows = [row for row in rows if row["id"] in predicted]
    scores, example_scores = head.scores(predictions, rows), head.example_scores(predictions, rows)
    return Outcome(predictions, scores, example_scores, cost)
