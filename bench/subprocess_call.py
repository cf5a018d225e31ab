"""Run work in a process of its own and measure its time and memory."""

from __future__ import annotations

import os
import resource
import shlex
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from importlib import import_module
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from bench.settings import ROOT
from tlplug.runtime.cache import cache_folder

MEBIBYTE = 2**20
KIBIBYTE = 1 if sys.platform == "darwin" else 1024
"""The unit of `ru_maxrss`."""
INTERVAL_S = 0.05
"""The time between two reads of a process's memory."""
UNPACKED = "gguf"
"""The cache's folder of unpacked base models, which are no results."""
Words = list[str]
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


def measure(words: Words, read_figures: Callable[[], Figures], cache: Path) -> Figures:
    """Run `python -m <words>` and return its figures with the time and memory of the whole process.

    The system reports the peak memory of this process for its children too, so nothing heavy is imported here.
    """
    started = time.perf_counter()
    process = start(words, cache)
    status, usage, peak = wait(process)
    require_success(process, status, words)
    return {
        **read_figures(),
        "process_seconds": time.perf_counter() - started,
        "process_cpu_seconds": usage.ru_utime + usage.ru_stime,
        "peak_memory_mb": max(peak, usage.ru_maxrss * KIBIBYTE) / MEBIBYTE,
        "command": shlex.join(["python", "-m", *words]),
    }


def start(words: Sequence[str], cache: Path, **options: Any) -> subprocess.Popen[bytes]:
    """Start `python -m <words>` in the project's root with this cache; discard its output."""
    return subprocess.Popen(
        [sys.executable, "-m", *words],
        cwd=ROOT,
        env=os.environ | {"HF_HUB_OFFLINE": "1", "TLPLUG_CACHE": str(cache)},
        stdout=subprocess.DEVNULL,
        **options,
    )


def require_success(process: subprocess.Popen[bytes], status: int, words: Sequence[str]) -> None:
    """Raise a RuntimeError that names the command if it failed; `status` is that of `os.wait4`."""
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        raise RuntimeError(f"exit code {process.returncode}: python -m {shlex.join(words)}")


def wait(process: subprocess.Popen[bytes]) -> tuple[int, resource.struct_rusage, int]:
    """Return the exit status, the resource usage and the highest peak memory in bytes.

    The peak is polled, because tlplug resets it before a fit.
    """
    status_file, peak = Path(f"/proc/{process.pid}/status"), 0
    while True:
        pid, status, usage = os.wait4(process.pid, os.WNOHANG)
        if pid:
            return status, usage, peak
        if status_file.is_file():
            lines = (
                line.split() for line in status_file.read_text().splitlines() if line.startswith("VmHWM")
            )
            peak = max([peak, *(int(size) * 1024 for _, size, _ in lines)])
        time.sleep(INTERVAL_S)
