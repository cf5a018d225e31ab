"""Which jobs wait or run, asked of Slurm itself; of this machine's processes where it stands in for Slurm.

submitit asks sacct, which small clusters do not have, and knows its local jobs only in the process that began them.
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
        """Return whether the job waits or runs; false for the empty id of a job that was not submitted."""

    def add(self, id: str) -> None:
        """Record that a job was just submitted."""

    def cancel(self, ids: Sequence[str], waiting: bool = False) -> None:
        """End them; with `waiting`, only those that have not begun."""


class SlurmQueue(Queue):
    """`squeue`, called at most every few seconds, for all jobs at once."""

    def __init__(self) -> None:
        self.looked = 0.0
        self.seen: set[str] = set()
        self.missed: set[str] = set()
        """Those that were there, and were not at the last look. A job that is queued again can be missed once."""

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
        if found.returncode == 0:  # else the controller does not answer now, and nothing is known anew
            there = set(found.stdout.split())
            self.seen, self.missed = there, self.seen - there

    def cancel(self, ids: Sequence[str], waiting: bool = False) -> None:
        if ids:
            subprocess.run(["scancel", *(["--state=PENDING"] if waiting else []), *ids], check=False)


class LocalQueue(Queue):
    """submitit's stand-in for Slurm: an id is that of its process, which runs at once."""

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
