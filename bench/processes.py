"""Run work in a process of its own and measure its time and memory.

The system reports the peak memory of this process for its children too, so nothing heavy is imported here.
"""

from __future__ import annotations

import json
import os
import resource
import shlex
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from importlib import import_module
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from bench.settings import ROOT
from tlplug.runtime.cache import cache_folder

INTERVAL_S = 0.02
"""The time between two reads of a process's memory."""
OWN_MEMORY, PEAK_MEMORY = "RssAnon", "VmHWM"
"""Fields of `/proc/PID/status`: resident memory that is no page of a file, and the peak of all resident memory.

The pages of a mapped file are resident too, but the system may drop them at any time.
"""
MAXRSS_UNIT = 1 if sys.platform == "darwin" else 1024
UNPACKED = "gguf"
"""The cache's folder of unpacked base models, which are no results."""
Figures = dict[str, Any]


def call_in_subprocess(module: str, function: str, *arguments: Any) -> Any:
    """Call the function in a new process: the system would count what it imports here as an arm's memory."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(call, module, function, *arguments).result()


def call(module: str, function: str, *arguments: Any) -> Any:
    return getattr(import_module(module), function)(*arguments)


def make_cache(run: Path) -> Path:
    """Create a cache for one run that has the unpacked base models and nothing else."""
    folder = run.with_suffix(".cache")
    folder.mkdir()
    (folder / UNPACKED).symlink_to((cache_folder() / UNPACKED).resolve())
    return folder


class Peak:
    """A context that records the highest value of a memory field of `/proc/PID/status` in MB.

    Args:
        process: the process id; `self` for this process.
    """

    def __init__(self, process: int | str = "self", field: str = OWN_MEMORY) -> None:
        self.status, self.field = Path(f"/proc/{process}/status"), field
        self.megabytes = 0.0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._poll, daemon=True)

    def __enter__(self) -> Peak:
        self._thread.start()
        return self

    def __exit__(self, *error: Any) -> None:
        self._stop.set()
        self._thread.join()

    def _poll(self) -> None:
        stopped = False
        while not stopped:
            stopped = self._stop.wait(INTERVAL_S)
            self.megabytes = max(self.megabytes, memory_mb(self.status, self.field))


def memory_mb(status: Path, field: str = OWN_MEMORY) -> float:
    """Return a memory field of a `/proc/PID/status` file in MB; 0 if the process has ended."""
    try:
        lines = [line.split() for line in status.read_text(encoding="utf-8").splitlines()]
    except OSError:
        return 0.0
    return next((int(line[1]) / 1024 for line in lines if line[0] == f"{field}:"), 0.0)


def run(words: Sequence[str], cache: Path, field: str) -> tuple[float, resource.struct_rusage, float]:
    """Run `python -m WORDS` in the project's root; return its seconds, resource usage and highest memory field in MB.

    The memory is polled, because tlplug resets its peak before a fit.

    Raises:
        RuntimeError: the command failed.
    """
    started = time.perf_counter()
    environment = os.environ | {"HF_HUB_OFFLINE": "1", "TLPLUG_CACHE": str(cache)}
    process = subprocess.Popen(
        [sys.executable, "-m", *words], cwd=ROOT, env=environment, stdout=subprocess.DEVNULL
    )
    with Peak(process.pid, field) as peak:
        _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        raise RuntimeError(f"exit code {process.returncode}: python -m {shlex.join(words)}")
    return time.perf_counter() - started, usage, peak.megabytes


def measure_command(words: Sequence[str], cache: Path) -> Figures:
    """Return the seconds and the peak of the own memory of `python -m WORDS`."""
    seconds, usage, peak = run(words, cache, OWN_MEMORY)
    return {"seconds": seconds, "cpu_seconds": usage.ru_utime + usage.ru_stime, "peak_mb": peak}


def measure(words: Sequence[str], results: Path, read: Callable[[Figures], Figures], cache: Path) -> Figures:
    """Run `python -m WORDS` and return the figures of its results with the time and memory of the whole process.

    Args:
        results: the JSON file that the process writes.
        read: takes the figures from its content.
    """
    seconds, usage, peak = run(words, cache, PEAK_MEMORY)
    return {
        **read(json.loads(results.read_text(encoding="utf-8"))),
        "process_seconds": seconds,
        "process_cpu_seconds": usage.ru_utime + usage.ru_stime,
        "peak_memory_mb": max(peak, usage.ru_maxrss * MAXRSS_UNIT / 2**20),
        "command": shlex.join(["python", "-m", *words]),
    }


def timed(function: Callable[[], object]) -> dict[str, float]:
    """Call the function and return its wall-clock seconds and the CPU seconds of all threads."""
    started, computed = time.perf_counter(), time.process_time()
    function()
    return {
        "train_seconds": time.perf_counter() - started,
        "train_cpu_seconds": time.process_time() - computed,
    }
