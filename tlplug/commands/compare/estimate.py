"""Estimate the cost of a comparison from the config and one timed step of each strategy."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace

from tlplug.commands.compare.timing import Timing, timed
from tlplug.commands.compare.train_strategies import Trainings
from tlplug.data.batching import ceil_div
from tlplug.data.datamodule import TransferData
from tlplug.errors import UsageError
from tlplug.interfaces import Strategy
from tlplug.runtime.memory import release_memory
from tlplug.training.fit import Prepared
from tlplug.training.trainer import total_steps

LIGHTNING = 0.002
"""Seconds that Lightning adds to each batch; noticeable only where a step takes hardly any time."""

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Batches:
    """Numbers of batches."""

    train: int
    """Training batches of one training, in all epochs."""
    evaluated: int
    """Batches of all validations and the test of one training."""
    once: int
    """Batches of one pass over the three splits."""


@dataclass(frozen=True)
class Estimate:
    """The expected time and memory of one strategy."""

    name: str
    trainings: int
    """The number of trainings that are not in the cache."""
    timing: Timing | None = None
    batches: Batches | None = None
    error: str | None = None

    @property
    def training(self) -> float:
        """Seconds of one training, without the pass through the frozen prefix."""
        if self.timing is None or self.batches is None:
            return 0.0
        step, predict = self.timing.step + LIGHTNING, self.timing.predict + LIGHTNING
        return self.timing.load + self.batches.train * step + self.batches.evaluated * predict

    @property
    def once(self) -> float:
        """Seconds of one pass of all rows through the frozen prefix, whose outputs all epochs and seeds reuse."""
        if self.timing is None or self.batches is None or self.timing.prefix is None:
            return 0.0
        return self.batches.once * self.timing.prefix

    @property
    def seconds(self) -> float:
        return self.once + self.trainings * self.training


def estimates(strategies: Mapping[str, Strategy], trainings: Trainings) -> list[Estimate]:
    """Estimate the cost of each strategy.

    Raises:
        UsageError: strategies cannot be used with these settings; the message names all of them.
    """
    found, wrong = [], []
    for name, strategy in strategies.items():
        try:
            found.append(estimate(name, strategy, trainings))
        except UsageError as error:
            wrong.append(f"{name}: {error}")
    if wrong:
        raise UsageError("\n".join(wrong))
    return found


def estimate(name: str, strategy: Strategy, trainings: Trainings) -> Estimate:
    """Estimate the cost of one strategy, without loading a model if all its trainings are in the cache.

    An error other than UsageError is logged and becomes the error of the estimate.
    """
    missing = trainings.missing(strategy)
    if not missing:
        return Estimate(name, 0)
    try:
        timing = timed(trainings.task, strategy, trainings.optimizer)
    except UsageError:
        raise
    except Exception as error:
        log.exception("%s could not be tried", name)
        return Estimate(name, missing, error=f"{type(error).__name__}: {error}")
    finally:
        release_memory()
    return Estimate(name, missing, timing, batches_of(trainings.task, timing.processes))


def batches_of(task: Prepared, processes: int) -> Batches:
    """Return the numbers of batches of one training in each of `processes`, by the trainer's settings."""
    data, settings = task.data, task.trainer
    train = total_steps(settings, data.steps_per_epoch(processes)) * settings.accumulate_grad_batches
    one_epoch = replace(settings, max_epochs=1, max_steps=-1)
    epoch = total_steps(one_epoch, data.steps_per_epoch(processes)) * settings.accumulate_grad_batches
    validation = limited(batches_in(data, "validation", processes), settings.limit_val_batches)
    validations = train // max(epoch, 1) // (settings.check_val_every_n_epoch or 1)
    tuning = batches_in(data, "validation", processes) if task.head.tunes else 0
    test = limited(batches_in(data, "test", processes), settings.limit_test_batches)
    once = sum(ceil_div(len(features), data.batch_size) for features in data.features.values())
    return Batches(train, validations * validation + tuning + test, once)


def batches_in(data: TransferData, split: str, processes: int) -> int:
    features = data.features[split]
    if split == "validation" and data.max_validation_rows is not None:
        features = features.of_rows(data.max_validation_rows)
    return ceil_div(ceil_div(len(features), processes), data.batch_size)


def limited(batches: int, limit: float | None) -> int:
    """Return the number of batches under `trainer.limit_*_batches`, a share (float) or a number (int)."""
    if limit is None:
        return batches
    return int(batches * limit) if isinstance(limit, float) else min(batches, limit)
