"""What a sweep is put together from: which jobs there are (`Search`), and where they run (`Launcher`).

`tlplug.commands.sweep.sweep` makes one of each from what was typed, and `tlplug.commands.sweep.loop` drives them:

    search = Optuna(sweep, settings)                     with `sweep` a `Sweep`; `Grid` has its jobs already
    launcher = Slurm(launcher_settings, sweep.folder)    `Ray` the same

All are subclasses of the protocols below, and get what these have a body for.
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
"""Codes of a run that was asked to end."""


@dataclass(frozen=True)
class SweepJob:
    """One run of a sweep, begun in its folder: a frozen, resolved config lies there (`run_directory.begin`)."""

    number: int
    overrides: tuple[str, ...]
    """What tells it from the others, as typed."""
    folder: Path
    """`<sweep>/<number>`, as the user named it: relative paths are from where the sweep was started."""
    primary_score: str = ""
    """The score that it is judged by."""
    display_scale: int = 1
    """What that score is multiplied by for a person: 100 for a share."""
    higher_is_better: bool = True
    trusted: bool = False
    """The words of the sweep name code to be run: a class by its dotted path, or what comes with a base model."""

    def command(self) -> list[str]:
        """Return the command that runs or resumes the job; all ranks read the same config."""
        trust = ["--trust"] if self.trusted else []
        return [sys.executable, "-m", "tlplug", "resume", str(self.folder), *trust]

    def environment(self) -> dict[str, str]:
        """Return what is set in the process's environment, in addition to the sweep's own."""
        return {SWEEP_VARIABLE: self.folder.resolve().parent.name}

    @property
    def finished(self) -> bool:
        """Whether its result lies there, and nothing is left to do."""
        return finished(self.folder)


class NotTaken(UsageError):
    """A launcher could not start jobs just now: a cluster that refuses, or does not answer."""


class NotWritten(UsageError):
    """The sweep's folder cannot be written to: a full disk, no permission."""


class Running(Protocol):
    """A job that was started."""

    def code(self) -> int | None:
        """Its exit code, minus the number of the signal that killed it; None while it runs or waits for its turn."""

    def stop(self) -> None:
        """Ask it to end (SIGTERM): it leaves a checkpoint. Returns at once; asking twice does no harm."""


class Launcher(Protocol):
    """Where jobs run: this machine, Slurm, Ray."""

    def start(self, job: SweepJob) -> Running:
        """Start it, or put it into the queue. What it writes to the screen goes to `<job>/output.txt`."""

    def together(self) -> AbstractContextManager[object]:
        """Jobs that are started inside this are known all at once: Slurm makes one array of them."""
        return nullcontext()

    def close(self) -> None:
        """Nothing is left running: what has not ended is killed. Called in the end in any case, and before it where a
        person does not wait."""


class Search(Protocol):
    """Which jobs a sweep has."""

    total: int
    """How many there are going to be, as far as that is known."""

    def next(self) -> SweepJob | None:
        """Return a job to start now; None if there is none, or none until another one ends.

        One that is `finished` already is not started: `ended` is called with 0 at once.
        """

    def seen(self, job: SweepJob, step: int, score: float) -> bool:
        """Take one validation of a running job, as in its progress.json, in order; return whether the job continues.

        A job that does not is stopped, and `ended` is called when it has.
        """

    def ended(self, job: SweepJob, code: int) -> None:
        """Record that a job ended; its folder has the result."""

    def close(self, console: object) -> None:
        """After the last job, also where the sweep was stopped: what there is to say goes to the (rich) console."""


class Sweep(Protocol):
    """What a search makes its jobs in."""

    folder: Path
    """It is there, and this process has locked it."""
    words: Sequence[str]
    """Of the runs, as typed: neither `sweep.*`, `launcher.*` nor `run_dir` is among them. Those with several values
    (`seed=1,2`, `strategy.r=choice(4,8)`, `optimizer.learning_rate=tag(log,interval(1e-5,1e-2))`) span the space."""
    composer: Composer

    def begin(self, number: int, overrides: Sequence[str]) -> SweepJob:
        """The job in `<sweep>/<number>`: composed and checked of these words (one value each, nothing left out),
        frozen there; where one was begun there before, that one, whatever the words.

        Raises:
            UsageError: the words make no run, or the folder cannot be written.
        """
