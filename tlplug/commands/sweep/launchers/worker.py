"""Run the process of a job on a machine of a cluster."""

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
"""Exit codes of jobs that have none: LOST if the job or its machine disappeared, CUT_OFF if it was stopped before it
started."""
STOPPED = 128 + signal.SIGTERM
"""The exit code of a run that SIGTERM ended with a checkpoint."""
POLL_S = 0.5


class Work:
    """A picklable callable that runs a job's command.

    A file in the job's folder, which all machines share, requests the job to end: a cluster's own signals reach some
    processes twice, which ends a run without a checkpoint, and others not at all.
    """

    def __init__(self, job: SweepJob, environment: Mapping[str, str], without: tuple[str, ...] = ()) -> None:
        """
        Args:
            environment: variables to set, in addition to the job's own.
            without: prefixes of variables that the command does not inherit.
        """
        self.job = replace(job, folder=job.folder.resolve())
        self.directory = str(Path.cwd())
        self.environment = {**environment, **job.environment()}
        self.without = without

    def __call__(self) -> int:
        """Run the command and return its exit code.

        Minus the signal's number if a signal killed it, 143 if it was stopped, CUT_OFF if it was stopped before.
        """
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
        """Open the file for the command's output, after earlier processes of the job have ended."""
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
    """Delete the request to stop, which was meant for an earlier process."""
    (folder / STOP).unlink(missing_ok=True)


def bound_to_parent() -> Callable[[], None]:
    """Return a function that makes a child process end with its parent and ignore the cluster's warning signal.

    Slurm sends SIGUSR2 to all processes of a step; the parent handles it and stops the child.
    """
    bind = dies_with_parent()

    def prepare() -> None:
        if bind is not None:
            bind()
        signal.signal(signal.SIGUSR2, signal.SIG_IGN)

    return prepare
