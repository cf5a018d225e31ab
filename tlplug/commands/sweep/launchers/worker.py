"""The process of a job, on the machine that a cluster gave it."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import IO

from tlplug.commands.sweep.launchers.local import dies_with_parent, opened
from tlplug.commands.sweep.lock import wait_for_ends
from tlplug.commands.sweep.protocols import SweepJob

STOP = "stop"
LOST, CUT_OFF = -signal.SIGKILL, -signal.SIGTERM
"""Codes of a job that left none: its machine, or it, was taken away; it was stopped before it began."""
STOPPED = 128 + signal.SIGTERM
"""A run's own code where it left a checkpoint."""
POLL_S = 0.5


class Work:
    """Runs a job's command where it is called; can be sent there.

    It is asked to end by a file in the job's folder, which all machines see: a cluster's own signals reach some
    processes twice, at which a run ends without a checkpoint, and others not at all.
    """

    def __init__(self, job: SweepJob, environment: Mapping[str, str], without: tuple[str, ...] = ()) -> None:
        """
        Args:
            environment: variables to set, beside the job's own.
            without: beginnings of the names of variables that are not handed on.
        """
        self.job = replace(job, folder=job.folder.resolve())
        self.directory = str(Path.cwd())
        self.environment = {**environment, **job.environment()}
        self.without = without

    def __call__(self) -> int:
        """Return the exit code: minus the signal's number if a signal killed it, 143 if it was stopped."""
        if self.asked_to_stop:
            return CUT_OFF
        with self.opened() as output, self.started(output) as process:
            asked = False
            while process.poll() is None:
                if self.asked_to_stop and not asked:
                    process.terminate()
                    asked = True
                time.sleep(POLL_S)
        return process.returncode

    @property
    def asked_to_stop(self) -> bool:
        return (self.job.folder / STOP).exists()

    def opened(self) -> IO[bytes]:
        """Open the file of the command's output, after earlier processes of the job have closed it."""
        wait_for_ends([self.job.folder], print)
        return opened(self.job)

    def started(self, output: IO[bytes]) -> subprocess.Popen[bytes]:
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(self.without)}
        return subprocess.Popen(
            self.job.command(),
            cwd=self.directory,
            env={**inherited, **self.environment},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            preexec_fn=bound_to_parent(),
        )


def ask_to_stop(folder: Path) -> None:
    (folder / STOP).touch()


def take_back(folder: Path) -> None:
    """Clear the request to stop, which was for an earlier process."""
    (folder / STOP).unlink(missing_ok=True)


def bound_to_parent() -> Callable[[], None]:
    """Return what prepares a child process: it ends when its parent dies, and ignores the cluster's warning signal.

    Slurm sends SIGUSR2 to all processes of a step; the parent hears it, and asks the child to end.
    """
    bind = dies_with_parent()

    def prepare() -> None:
        if bind is not None:
            bind()
        signal.signal(signal.SIGUSR2, signal.SIG_IGN)

    return prepare
