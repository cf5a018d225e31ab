"""Train every strategy of a comparison with every seed, and with several learning rates if the rate is tuned."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import fmean

from tlplug.commands.compare.decision import Run, Rung, chosen_rate
from tlplug.commands.compare.plan import CompareSettings
from tlplug.errors import UsageError
from tlplug.interfaces import Outcome, Strategy
from tlplug.runtime.distributed import world_size
from tlplug.runtime.memory import release_memory
from tlplug.settings import OptimizerSettings
from tlplug.training.fit import Prepared, TrainingHooks
from tlplug.training.outcome_cache import Outcomes

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Shown:
    """Callbacks that show the progress and the result of each training."""

    begins: Callable[[str, int], TrainingHooks]
    """Called with the title and seed of a training; returns the hooks that show its progress."""
    ends: Callable[[str, Run], None]


@dataclass(frozen=True)
class Trainings:
    """The trainings of one prepared task; its rows are encoded once, as features do not depend on the seed."""

    seeds: Mapping[int, Outcomes]
    settings: CompareSettings
    optimizer: OptimizerSettings
    """Settings of the user for all strategies."""

    @classmethod
    def of(cls, task: Prepared, settings: CompareSettings, optimizer: OptimizerSettings) -> Trainings:
        seeds = {seed: Outcomes(with_seed(task, seed)) for seed in settings.seed_list()}
        return cls(seeds, settings, optimizer)

    @property
    def task(self) -> Prepared:
        """The task with the first seed."""
        return next(iter(self.seeds.values())).task

    def trivial(self) -> Rung:
        """Return the baseline that needs no model, the same with every seed.

        Raises:
            UsageError: the head has no trivial predictions.
        """
        found = Outcomes(self.task).trivial()
        if found is None:
            raise UsageError(
                "compare measures gains over the trivial baseline, and this head has no trivial predictions"
            )
        return Rung("trivial", [Run(seed, found, False) for seed in self.seeds])

    def missing(self, strategy: Strategy) -> int:
        """Return the number of trainings of a strategy that are not in the cache."""
        return sum(
            not outcomes.is_stored(strategy, optimizer)
            for optimizer in self.rates(strategy).values()
            for outcomes in self.seeds.values()
        )

    def rates(self, strategy: Strategy) -> dict[float, OptimizerSettings]:
        """Return optimizer settings by learning rate; the strategy's own rate alone if it has none or is not tuned."""
        own = strategy.optimizer_defaults.learning_rate or 0.0
        if not self.settings.tune_learning_rate or not own:
            return {own: self.optimizer}
        tried = [float(f"{own * factor:.3g}") for factor in self.settings.learning_rate_factors]
        return {rate: replace(self.optimizer, learning_rate=rate) for rate in tried}

    def run(self, name: str, strategy: Strategy, shown: Shown) -> Rung:
        """Train one strategy with all seeds, or read its outcomes from the cache.

        An error ends this strategy, not the comparison, unless several processes train together.
        """
        try:
            found = {rate: list(self._runs(name, strategy, rate, shown)) for rate in self.rates(strategy)}
            return self._rung(name, strategy, found)
        except Exception as error:
            if world_size() > 1:
                raise  # the other processes wait for this one in the middle of a step
            log.exception("%s could not be trained", name)
            return Rung(name, error=f"{type(error).__name__}: {error}")

    def _runs(self, name: str, strategy: Strategy, rate: float, shown: Shown) -> Iterator[Run]:
        optimizer = self.rates(strategy)[rate]
        title = f"{name}, rate {rate:g}" if self.settings.tune_learning_rate else name
        for seed, outcomes in self.seeds.items():
            stored = outcomes.stored(strategy, optimizer)
            found = stored or outcomes.train(strategy, optimizer, shown.begins(title, seed))
            if stored is None:
                release_memory()
            run = Run(seed, found, stored is not None)
            shown.ends(title, run)
            yield run

    def _rung(self, name: str, strategy: Strategy, found: Mapping[float, Sequence[Run]]) -> Rung:
        if len(found) == 1:
            ((rate, runs),) = found.items()
            own = strategy.optimizer_defaults.learning_rate == rate
            return Rung(name, runs, None if own else rate)
        head = self.task.head
        tried = {
            rate: fmean(validated(run.outcome, head.primary_score) for run in runs)
            for rate, runs in found.items()
        }
        own_rate = strategy.optimizer_defaults.learning_rate or 0.0
        rate = chosen_rate(tried, own_rate, head.higher_is_better)
        return Rung(name, found[rate], rate, tried)


def with_seed(task: Prepared, seed: int) -> Prepared:
    """Return the task with a seed that sets the order of the rows and the random weights."""
    return replace(task, data=task.data.with_seed(seed), seed=seed)


def validated(outcome: Outcome, primary: str) -> float:
    if primary not in outcome.validation:
        raise ValueError(
            f"tune_learning_rate=true goes by {primary} of the last validation, and there was none: "
            "trainer.limit_val_batches and trainer.check_val_every_n_epoch have to leave one"
        )
    return outcome.validation[primary]
