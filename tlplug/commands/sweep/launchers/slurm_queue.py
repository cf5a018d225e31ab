"""List the jobs that wait or run, from Slurm's squeue or from the processes of this machine.

submitit calls sacct, which small clusters lack, and knows its local jobs only in the process that started them.
"""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

LOOK_EVERY_S = 10.0


class Queue(Protocol):
    def __contains__(self, id: str) -> bool:
        """Return True if the job waits or runs; False for the empty id of a job that has not been submitted."""

    def add(self, id: str) -> None:
        """Record a job that has just been submitted."""

    def cancel(self, ids: Sequence[str], waiting: bool = False) -> None:
        """Cancel jobs; with `waiting`, only those that have not started."""


class SlurmQueue(Queue):
    """The queue of Slurm, read by `squeue` for all jobs at once and at most every LOOK_EVERY_S seconds."""

    def __init__(self) -> None:
        self.looked = 0.0
        self.seen: set[str] = set()
        self.missed: set[str] = set()
        """Jobs that disappeared at the last reading; a job that is requeued can be missing once."""

    def __contains__(self, id: str) -> bool:
        if time.monotonic() - self.looked > LOOK_EVERY_S:
            self.look()
        return id in self.seen or id in self.missed

    def add(self, id: str) -> None:
        self.seen.add(id)

    def look(self) -> None:
        command = ["squeue", "--me", "--array", "--noheader", "--format=%i"]
        found = subprocess.run(command, capture_output=True, text=True, check=False)
        self.looked = time.monotonic()
        if found.returncode == 0:  # else the controller does not answer, and the last reading remains
            there = set(found.stdout.split())
            self.seen, self.missed = there, self.seen - there

    def cancel(self, ids: Sequence[str], waiting: bool = False) -> None:
        if ids:
            subprocess.run(["scancel", *(["--state=PENDING"] if waiting else []), *ids], check=False)


class LocalQueue(Queue):
    """The queue of submitit's local executor: an id is that of a process, which starts immediately."""

    def __contains__(self, id: str) -> bool:
        try:
            return bool(id) and b"submitit" in Path(f"/proc/{id}/cmdline").read_bytes()
        except OSError:
            return False

    def add(self, id: str) -> None: ...

    def cancel(self, ids: Sequence[str], waiting: bool = False) -> None:
        if waiting:
            return
        for id in ids:
            os.kill(int(id), signal.SIGINT)
        while any(id in self for id in ids):
            time.sleep(0.1)


def queue_of(cluster: str) -> Queue:
    return SlurmQueue() if cluster == "slurm" else LocalQueue()
