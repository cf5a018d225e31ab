"""What a sweep is put together from: which jobs there are, and where they run."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol


@dataclass(frozen=True)
class SweepJob:
    """One run of a sweep, begun in its folder: a frozen, resolved config lies there (`run_directory.begin`)."""

    number: int
    overrides: tuple[str, ...]
    """What tells it from the others, as typed."""
    folder: Path

    def command(self) -> list[str]:
        """The process that runs it, or goes on with it; all ranks of it read the same config."""
        return [sys.executable, "-m", "tlplug", "resume", str(self.folder)]


class Running(Protocol):
    """A job that was started."""

    def code(self) -> int | None:
        """Its exit code; None while it runs or waits for its turn."""

    def stop(self) -> None:
        """Ask it to end (SIGTERM): it leaves a checkpoint."""


class Launcher(Protocol):
    """Where jobs run: this machine, Slurm, Ray."""

    def start(self, job: SweepJob) -> Running: ...

    def close(self) -> None:
        """Nothing is left running."""


class Search(Protocol):
    """Which jobs a sweep has."""

    def next(self) -> SweepJob | None:
        """A job to start now; None where there is none before another one ends, or none at all."""

    def seen(self, job: SweepJob, step: int, score: float) -> bool:
        """A validation of a job that runs, as in its progress.json; whether the job goes on."""

    def ended(self, job: SweepJob, code: int) -> None:
        """It ended; its folder says with what."""
