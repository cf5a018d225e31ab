"""The arms of a measurement by turns, a process each."""

from __future__ import annotations

import os
import resource
import shlex
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from bench.arms import ARMS, Figures, Words
from bench.measurements import MEASUREMENTS
from bench.settings import ROOT, changed
from bench.summary import summary
from tlplug.runtime.cache import cache_folder

MEBIBYTE = 2**20
KIBIBYTE = 1 if sys.platform == "darwin" else 1024
"""The unit of the peak memory that the system reports of a process."""
LOOK = 0.05
"""Seconds between two looks at a process."""
UNPACKED = "gguf"
"""Of the cache what is no result: the unpacked base models."""


def compare(name: str, strategy: str, seeds: Sequence[int], changes: Words) -> dict[str, Any]:
    """All arms of one strategy, for each seed.

    Args:
        changes: settings as `name=value`, in place of the measurement's own.
    """
    measurement = MEASUREMENTS[name]
    arms = by_turns(name, strategy, seeds, changes)
    return {
        "settings": vars(measurement.settings_of(strategy, changed(changes))),
        "arms": arms,
        "summary": summary(arms, measurement.scores),
    }


def by_turns(name: str, strategy: str, seeds: Sequence[int], changes: Words) -> dict[str, list[Figures]]:
    """One arm after another for each seed, so that what else the machine does falls on all."""
    found: dict[str, list[Figures]] = {arm: [] for arm in ARMS}
    with TemporaryDirectory() as folder:
        for seed in seeds:
            for arm, begin in ARMS.items():
                place = Path(folder) / f"{arm.replace(' ', '-')}-{seed}"
                words, figures = begin(name, strategy, seed, place, changes)
                found[arm].append({"seed": seed, **measured(words, figures, empty_cache(place))})
                print(name, strategy, arm, found[arm][-1], flush=True)
    return found


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
