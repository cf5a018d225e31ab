"""Memory that is a process's own (RssAnon): resident, and no page of a file, which the system can drop at any time."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

LOOK = 0.02
"""Seconds between two looks."""


class Peak:
    """The most of it while this is open.

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
        while True:
            self.megabytes = max(self.megabytes, own_memory(self.report))
            if self._ended.wait(LOOK):
                self.megabytes = max(self.megabytes, own_memory(self.report))
                return


def own_memory(report: Path) -> float:
    """MB; 0 of a process that has ended."""
    try:
        lines = [line.split() for line in report.read_text(encoding="utf-8").splitlines()]
    except OSError:
        return 0.0
    return next((int(line[1]) / 1024 for line in lines if line[0] == "RssAnon:"), 0.0)
