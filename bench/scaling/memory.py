"""Measure a process's CPU time and the memory that it shares with no file."""

from __future__ import annotations

import os
import subprocess
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bench.subprocess_call import require_success, start

INTERVAL_S = 0.02
"""The time between two reads of the memory."""
Figures = dict[str, Any]


class Peak:
    """A context that records the peak of resident memory that is no page of a file (RssAnon).

    The pages of a mapped file are resident too, but the system may drop them at any time.

    Args:
        process: the process id; `self` for this process.
    """

    def __init__(self, process: int | str = "self") -> None:
        self.status = Path(f"/proc/{process}/status")
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
            self.megabytes = max(self.megabytes, own_memory(self.status))


def own_memory(status: Path) -> float:
    """Return the RssAnon of a `/proc/PID/status` file in MB; 0 if the process has ended."""
    try:
        lines = [line.split() for line in status.read_text(encoding="utf-8").splitlines()]
    except OSError:
        return 0.0
    return next((int(line[1]) / 1024 for line in lines if line[0] == "RssAnon:"), 0.0)


def measure_command(words: Sequence[str], cache: Path) -> Figures:
    """Run `python -m WORDS` in the project's root and return its seconds and peak memory."""
    started = time.perf_counter()
    process = start(words, cache, stderr=subprocess.DEVNULL)
    with Peak(process.pid) as peak:
        _, status, usage = os.wait4(process.pid, 0)
    require_success(process, status, words)
    return {
        "seconds": time.perf_counter() - started,
        "cpu_seconds": usage.ru_utime + usage.ru_stime,
        "peak_mb": peak.megabytes,
    }
