"""Two processes never work on one sweep: the kernel holds the lock, and lets it go when the process dies."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tlplug.errors import UsageError
from tlplug.runtime.files import try_lock

LOCK, OUTPUT = "sweep.lock", "output.txt"
PATIENCE = 120.0
"""Seconds in which a job that was told to end does."""


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """The sweep in `folder` is this process's alone.

    Raises:
        UsageError: another process works on it, or the folder cannot be written to.
    """
    try:
        file = (folder / LOCK).open("a")
    except OSError as error:
        raise UsageError(f"{folder} cannot be written to: {error.strerror}") from error
    with file:
        if not try_lock(file.fileno(), folder):
            raise UsageError(f"another process works on the sweep in {folder}; it is left to that one")
        yield


def wait_for_ends(runs: Sequence[Path], told: Callable[[str], None]) -> None:
    """Until no process of these jobs is left: each holds the lock of its output while it lives.

    Where a sweep is killed its jobs are told to end, and leave a checkpoint first.

    Raises:
        UsageError: one does not end.
    """
    until = time.monotonic() + PATIENCE
    for run in runs:
        if alive(run):
            told(f"{run}: waiting for the process of the sweep that was cut off to end")
        while alive(run):
            if time.monotonic() > until:
                raise UsageError(
                    f"a process still works in {run} (it holds {run / OUTPUT}); end it, then try again"
                )
            time.sleep(0.1)


def alive(run: Path) -> bool:
    try:
        opened = os.open(run / OUTPUT, os.O_RDWR)
    except FileNotFoundError:
        return False
    try:
        return not try_lock(opened, run)
    finally:
        os.close(opened)
