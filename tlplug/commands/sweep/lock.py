"""Lock a sweep for one process; the kernel releases the lock when the process ends."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from tlplug.errors import UsageError
from tlplug.runtime import files

log = logging.getLogger(__name__)

LOCK, OUTPUT = "sweep.lock", "output.txt"
PATIENCE = 120.0
"""Seconds in which a job has to end after a request to stop."""


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Lock the sweep in `folder` for this process.

    Raises:
        UsageError: another process works on it, or the folder cannot be written to.
    """
    lock = FileLock(folder / LOCK)
    try:
        lock.acquire(timeout=0)
    except Timeout as error:
        raise UsageError(f"another process works on the sweep in {folder}; it is left to that one") from error
    except (OSError, NotImplementedError) as error:
        if not files.lacks_locks(error):
            raise UsageError(f"{folder} cannot be written to: {error}") from error
        log.warning(files.NO_LOCKS, folder)
    try:
        yield
    finally:
        lock.release()


def wait_for_ends(runs: Sequence[Path], told: Callable[[str], None]) -> None:
    """Wait until no process of these jobs is left, each of which locks its output while it runs.

    The jobs of a killed sweep receive a signal and write a checkpoint before they end.

    Raises:
        UsageError: a process does not end.
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
        return not files.try_lock(opened, run)
    finally:
        os.close(opened)
