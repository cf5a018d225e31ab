"""Run every combination of the given values (`sweep=grid`)."""

from __future__ import annotations

from collections.abc import Sequence

from hydra.errors import HydraException

from tlplug.commands.sweep.options import sweep_words
from tlplug.commands.sweep.protocols import Search, SweepJob
from tlplug.config.compose import Composer
from tlplug.errors import UsageError
from tlplug.runtime.compat import multiply_out


class Grid(Search):
    """Returns the jobs of a list in order."""

    def __init__(self, jobs: Sequence[SweepJob]) -> None:
        self.total = len(jobs)
        self._left = list(reversed(jobs))

    def next(self) -> SweepJob | None:
        return self._left.pop() if self._left else None

    def seen(self, job: SweepJob, step: int, score: float) -> bool:
        return True

    def ended(self, job: SweepJob, code: int) -> None:
        """Do nothing: the result is in the job's folder."""

    def close(self, console: object) -> None:
        """Do nothing: a grid has no summary."""


def combinations(composer: Composer, words: Sequence[str]) -> list[list[str]]:
    """Return the overrides of each job, in Hydra's order of combinations.

    Raises:
        UsageError: a key or choice does not exist, or values cannot be listed.
    """
    overrides = composer.check(sweep_words(composer, words).runs)
    try:
        return multiply_out(overrides)
    except HydraException as error:
        first = str(error).splitlines()[0]
        raise UsageError(
            f"not every value can be listed: {first}; a search takes ranges: +sweep=optuna"
        ) from error
