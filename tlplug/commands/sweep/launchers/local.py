"""Run each job in a process on this machine, in its own session (`launcher=local`)."""

from __future__ import annotations

import ctypes
import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import IO

from tlplug.commands.sweep.lock import OUTPUT
from tlplug.commands.sweep.protocols import Launcher, Running, SweepJob
from tlplug.runtime.files import try_lock
from tlplug.settings import LocalSettings

PR_SET_PDEATHSIG = 1
"""The option of prctl(2) that sets the signal a process receives when its parent dies."""
THREADS, DEVICES = "OMP_NUM_THREADS", "CUDA_VISIBLE_DEVICES"
HEADER = "--- "


class Local(Launcher):
    """Runs up to `at_once` jobs, which share the cores and GPUs of this machine evenly."""

    def __init__(self, settings: LocalSettings, folder: Path, at_once: int = 1) -> None:
        self.at_once = at_once
        self.started: dict[int, Process] = {}
        """Place -> process; the place determines the process's share of the machine."""

    def start(self, job: SweepJob) -> Running:
        free = [place for place in range(self.at_once) if self._is_free(place)]
        place = free[0] if free else 0
        shared = share(place, self.at_once, os.environ)
        self.started[place] = Process(job, {**os.environ, **job.environment(), **shared})
        return self.started[place]

    def close(self) -> None:
        for process in self.started.values():
            if process.code() is None:
                process.kill()

    def _is_free(self, place: int) -> bool:
        return place not in self.started or self.started[place].code() is not None


class Process(Running):
    """The process of one job, and its child processes."""

    def __init__(self, job: SweepJob, environment: Mapping[str, str]) -> None:
        self._ended = False
        with opened(job) as output:
            self._process = subprocess.Popen(
                job.command(),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=environment,
                # Ctrl-C in the terminal reaches the sweep alone, which stops its jobs.
                start_new_session=True,
                preexec_fn=dies_with_parent(),
            )

    def code(self) -> int | None:
        code = self._process.poll()
        if code and not self._ended:
            # Only once, as the process number may be reused later.
            self._ended = True
            self._end_group()
        return code

    def stop(self) -> None:
        if self._process.poll() is None:
            self._process.terminate()

    def kill(self) -> None:
        self._end_group()
        self._process.wait()

    def _end_group(self) -> None:
        """Kill the processes that a failed job has left running: those of its other devices, data loaders."""
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)


def opened(job: SweepJob) -> IO[bytes]:
    """Open the job's output, add a line for the new process, and lock the file while a process of the job runs."""
    output = (job.folder / OUTPUT).open("ab")
    try_lock(output.fileno(), job.folder)  # child processes inherit the file and its lock
    line = f"{HEADER}{datetime.now().isoformat(' ', 'seconds')} {shlex.join(job.command())}\n"
    output.write(line.encode())
    output.flush()
    return output


def dies_with_parent() -> Callable[[], None] | None:
    """Return a function that makes a new process receive SIGTERM when its parent dies; None except on Linux."""
    if sys.platform != "linux":
        return None
    libc, parent = ctypes.CDLL(None, use_errno=True), os.getpid()

    def call() -> None:
        libc.prctl(PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
        if os.getppid() != parent:
            # The sweep died before prctl was called.
            os._exit(128 + signal.SIGTERM)

    return call


def share(place: int, at_once: int, environment: Mapping[str, str]) -> dict[str, str]:
    """Return the environment that gives a job its share of the machine; empty if it has all of it."""
    if at_once == 1:
        return {}
    found = {}
    if THREADS not in environment:
        found[THREADS] = str(max(1, cores() // at_once))
    if devices := gpus(environment):
        found[DEVICES] = ",".join(devices[place::at_once] or [devices[place % len(devices)]])
    return found


def cores() -> int:
    """Return the number of CPUs that this process may use."""
    return len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1


def gpus(environment: Mapping[str, str]) -> list[str]:
    """Return the names of the GPUs that this process may use, as in CUDA_VISIBLE_DEVICES."""
    if DEVICES in environment:
        return [name for name in environment[DEVICES].split(",") if name]
    found = Path("/proc/driver/nvidia/gpus")
    return [str(number) for number in range(len(list(found.iterdir())))] if found.is_dir() else []
