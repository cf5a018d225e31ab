"""What a comparison is going to take, from the config and one timed step of each strategy."""

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
"""Seconds that Lightning adds to a batch: of weight only where a step is next to nothing."""

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Batches:
    """How many batches there are of what."""

    train: int
    """Of all epochs of one training."""
    evaluated: int
    """Of all validations and the test of one training."""
    once: int
    """Of the three splits, each once."""


@dataclass(frozen=True)
class Estimate:
    """Of one strategy."""

    name: str
    trainings: int
    """Those that are not in the cache yet."""
    timing: Timing | None = None
    batches: Batches | None = None
    error: str | None = None

    @property
    def training(self) -> float:
        """Seconds of one training, what all share left out."""
        if self.timing is None or self.batches is None:
            return 0.0
        step, predict = self.timing.step + LIGHTNING, self.timing.predict + LIGHTNING
        return self.timing.load + self.batches.train * step + self.batches.evaluated * predict

    @property
    def once(self) -> float:
        """Seconds of the frozen prefix over all rows, which every epoch and seed uses again."""
        if self.timing is None or self.batches is None or self.timing.prefix is None:
            return 0.0
        return self.batches.once * self.timing.prefix

    @property
    def seconds(self) -> float:
        return self.once + self.trainings * self.training


def estimates(strategies: Mapping[str, Strategy], trainings: Trainings) -> list[Estimate]:
    """Of each strategy.

    Raises:
        UsageError: strategies that cannot be used with these settings, all of them at once.
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
    """Nothing is loaded where all is in the cache; a strategy that fails here is going to be a row with its error."""
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
    """What one training takes, by the trainer's settings; each of several processes does its share."""
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
    """`trainer.limit_*_batches`: a share, or a number."""
    if limit is None:
        return batches
    return int(batches * limit) if isinstance(limit, float) else min(batches, limit)
