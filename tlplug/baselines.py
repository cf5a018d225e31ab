"""What a run is compared with: further trainings on the same examples in the same order, kept across runs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

from lightning.pytorch import Callback

from tlplug.checkpoint import Checkpoints
from tlplug.frozen import Counting, silent
from tlplug.interfaces import Outcome, Strategy
from tlplug.outcomes import Outcomes
from tlplug.settings import OptimizerSettings
from tlplug.training import Prepared


@dataclass(frozen=True)
class Baselines:
    """Trains, or takes from the cache, what one prepared task is compared with."""

    task: Prepared
    callbacks: Callable[[str], Sequence[Callback]]
    """Given a baseline's name, what shows its progress."""
    counting: Counting = silent
    checkpoints: Callable[[str], Checkpoints | None] = lambda name: None
    """Given a baseline's name, what keeps it so that it can be gone on with."""

    @cached_property
    def outcomes(self) -> Outcomes:
        return Outcomes(self.task, self.counting)

    def run(self, name: str, strategy: Strategy | None) -> Outcome:
        """The baseline's outcome on the test split; None stands for the head's own guess."""
        if strategy is None:
            return self.outcomes.trivial()
        own = OptimizerSettings()
        stored = self.outcomes.stored(strategy, own)
        if stored is not None:
            return stored
        return self.outcomes.train(strategy, own, self.callbacks(name), self.checkpoints(name))
