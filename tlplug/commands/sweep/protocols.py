"""Define the protocols of a sweep: a `Search` chooses the jobs, a `Launcher` runs them.

`tlplug.commands.sweep.sweep` creates one of each from the command line, and `tlplug.commands.sweep.loop` calls them:

    search = Optuna(sweep, settings)                     with `sweep` a `Sweep`; `Grid` takes a list of jobs
    launcher = Slurm(launcher_settings, sweep.folder)    `Ray` likewise

All implementations are subclasses of the protocols below and inherit the methods that have a body.
"""

from __future__ import annotations

import signal
import sys
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from tlplug.errors import UsageError
from tlplug.runs.directory import SWEEP_VARIABLE, finished

if TYPE_CHECKING:
    from tlplug.config.compose import Composer


LEFT_CHECKPOINT = (128 + signal.SIGTERM, 128 + signal.SIGINT)
"""Exit codes of a run that a signal ended and that wrote a checkpoint."""


@dataclass(frozen=True)
class SweepJob:
    """One run of a sweep, whose folder has its resolved config (`run_directory.begin`)."""

    number: int
    overrides: tuple[str, ...]
    """The arguments of the job, as the user typed them."""
    folder: Path
    """`<sweep>/<number>`; a relative path is relative to the directory where the sweep was started."""
    primary_score: str = ""
    """The name of the score by which jobs are compared."""
    display_scale: int = 1
    """The factor by which the score is multiplied for display: 100 for a share."""
    higher_is_better: bool = True
    trusted: bool = False
    """True if the user's arguments name code to run: a class by its dotted path, or code of a base model."""

    def command(self) -> list[str]:
        """Return the command that runs or resumes the job; all ranks read the same config."""
        trust = ["--trust"] if self.trusted else []
        return [sys.executable, "-m", "tlplug", "resume", str(self.folder), *trust]

    def environment(self) -> dict[str, str]:
        """Return the variables to set in addition to the environment of the sweep."""
        return {SWEEP_VARIABLE: self.folder.resolve().parent.name}

    @property
    def finished(self) -> bool:
        """True if the folder of the job has a result."""
        return finished(self.folder)


class NotTaken(UsageError):
    """Raised where a launcher cannot start jobs at present: a cluster refuses them or does not answer."""


class NotWritten(UsageError):
    """Raised where the sweep's folder cannot be written: a full disk, no permission."""


class Running(Protocol):
    """A job that has been started."""

    def code(self) -> int | None:
        """Return the exit code (minus the signal's number if a signal killed the job); None until the job ends."""

    def stop(self) -> None:
        """Request the job to write a checkpoint and end (SIGTERM), without waiting; a second call has no effect."""


class Launcher(Protocol):
    """Starts jobs on this machine, with Slurm or with Ray."""

    def start(self, job: SweepJob) -> Running:
        """Start or enqueue a job, with its standard output and error appended to `<job>/output.txt`."""

    def together(self) -> AbstractContextManager[object]:
        """Return a context whose jobs are submitted together when it ends: Slurm makes one array of them."""
        return nullcontext()

    def close(self) -> None:
        """Kill all jobs that have not ended.

        Called when the sweep ends in any way, and before that if the user requests it by a second signal.
        """


class Search(Protocol):
    """Chooses the jobs of a sweep."""

    total: int
    """The expected number of jobs."""

    def next(self) -> SweepJob | None:
        """Return the next job to start; None if there is none, or none until another job ends.

        A job that is `finished` already is not started; `ended` is called with 0 at once.
        """

    def seen(self, job: SweepJob, step: int, score: float) -> bool:
        """Record one validation score of a running job, in the order of its progress.json; return False to prune the job.

        A pruned job is stopped, and `ended` is called when it has ended.
        """

    def ended(self, job: SweepJob, code: int) -> None:
        """Record that a job ended with the exit code `code`; the result, if any, is in its folder."""

    def close(self, console: object) -> None:
        """Print a summary to the rich console after the last job, also if the sweep was stopped."""


class Sweep(Protocol):
    """The folder in which a search creates its jobs."""

    folder: Path
    """The folder of the sweep, which exists and is locked by this process."""
    words: Sequence[str]
    """The arguments of the runs as the user typed them, without `sweep.*`, `launcher.*` and `run_dir`. Those with several
    values (`seed=1,2`, `strategy.r=choice(4,8)`, `optimizer.learning_rate=tag(log,interval(1e-5,1e-2))`) span the space."""
    composer: Composer

    def begin(self, number: int, overrides: Sequence[str]) -> SweepJob:
        """Compose and check a job, and write its config to `<sweep>/<number>` unless that folder exists.

        Args:
            overrides: all arguments of the run, with one value each.

        Raises:
            UsageError: the arguments are invalid, or the folder cannot be written.
        """
