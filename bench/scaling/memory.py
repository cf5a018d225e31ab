"""A process's CPU time, and its memory as far as it is its own."""

from __future__ import annotations

import os
import subprocess
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bench.subprocess_call import begun, expect_success

LOOK = 0.02
"""Seconds between two looks."""
Figures = dict[str, Any]


class Peak:
    """The most memory while this is open that is resident and no page of a file (RssAnon).

    A mapped file's pages count as resident too, though the system drops them whenever it likes.

    Args:
        process: its number; `self` for this one.
    """

    def __init__(self, process: int | str = "self") -> None:
        self.report = Path(f"/proc/{process}/status")
        self.megabytes = 0.0
        self._ended = threading.Event()
        self._looking = threading.Thread(target=self._look, daemon=True)

    def __enter__(self) -> Peak:
        self._looking.start()
        return self

    def __exit__(self, *error: Any) -> None:
        self._ended.set()
        self._looking.join()

    def _look(self) -> None:
        ended = False
        while not ended:
            ended = self._ended.wait(LOOK)
            self.megabytes = max(self.megabytes, own_memory(self.report))


def own_memory(report: Path) -> float:
    """MB; 0 of a process that is gone."""
    try:
        lines = [line.split() for line in report.read_text(encoding="utf-8").splitlines()]
    except OSError:
        return 0.0
    return next((int(line[1]) / 1024 for line in lines if line[0] == "RssAnon:"), 0.0)


def spent(words: Sequence[str], cache: Path) -> Figures:
    """What `python -m WORDS` takes, from the project's root, in a process of its own."""
    started = time.perf_counter()
    process = begun(words, cache, stderr=subprocess.DEVNULL)
    with Peak(process.pid) as peak:
        _, status, usage = os.wait4(process.pid, 0)
    expect_success(process, status, words)
    return {
        "seconds": time.perf_counter() - started,
        "cpu_seconds": usage.ru_utime + usage.ru_stime,
        "peak_mb": peak.megabytes,
    }
