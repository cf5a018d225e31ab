"""Run work in a process of its own, and read what it used of time and memory."""

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
"""The unit of the peak memory that the system reports of a process."""
LOOK = 0.05
"""Seconds between two looks at a process."""
UNPACKED = "gguf"
"""Of the cache what is no result: the unpacked base models."""
Words = list[str]
Figures = dict[str, Any]


def apart(module: str, function: str, *given: Any) -> Any:
    """What the function gives. Nothing that it loads stays here, where the system would count it as an arm's memory."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(call, module, function, *given).result()


def call(module: str, function: str, *given: Any) -> Any:
    return getattr(import_module(module), function)(*given)


def empty_cache(place: Path) -> Path:
    """A cache for one run, where no rows are encoded yet; base models that were unpacked are there."""
    folder = place.with_suffix(".cache")
    folder.mkdir()
    (folder / UNPACKED).symlink_to((cache_folder() / UNPACKED).resolve())
    return folder


def measured(words: Words, figures: Callable[[], Figures], cache: Path) -> Figures:
    """Run `python -m <words>` from the project's root; its figures with the whole process's time and memory.

    What this process has once had in memory, the system reports of its children too: nothing heavy is imported here.
    """
    started = time.perf_counter()
    process = begun(words, cache)
    status, usage, peak = waited_for(process)
    expect_success(process, status, words)
    return {
        **figures(),
        "process_seconds": time.perf_counter() - started,
        "process_cpu_seconds": usage.ru_utime + usage.ru_stime,
        "peak_memory_mb": max(peak, usage.ru_maxrss * KIBIBYTE) / MEBIBYTE,
        "command": shlex.join(["python", "-m", *words]),
    }


def begun(words: Sequence[str], cache: Path, **more: Any) -> subprocess.Popen[bytes]:
    """`python -m <words>` from the project's root, with this cache; nothing of it is shown."""
    return subprocess.Popen(
        [sys.executable, "-m", *words],
        cwd=ROOT,
        env=os.environ | {"HF_HUB_OFFLINE": "1", "TLPLUG_CACHE": str(cache)},
        stdout=subprocess.DEVNULL,
        **more,
    )


def expect_success(process: subprocess.Popen[bytes], status: int, words: Sequence[str]) -> None:
    """A RuntimeError names the command that failed; `status` is what it was waited for with."""
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        raise RuntimeError(f"exit code {process.returncode}: python -m {shlex.join(words)}")


def waited_for(process: subprocess.Popen[bytes]) -> tuple[int, resource.struct_rusage, int]:
    """Its status, what it used, and the highest peak in bytes that was seen on the way.

    tlplug begins its peak afresh before a fit, and the system then forgets what came before.
    """
    report, peak = Path(f"/proc/{process.pid}/status"), 0
    while True:
        ended, status, usage = os.wait4(process.pid, os.WNOHANG)
        if ended:
            return status, usage, peak
        if report.is_file():
            lines = (line.split() for line in report.read_text().splitlines() if line.startswith("VmHWM"))
            peak = max([peak, *(int(size) * 1024 for _, size, _ in lines)])
        time.sleep(LOOK)
