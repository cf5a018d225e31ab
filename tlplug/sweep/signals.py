"""Ctrl-C and other requests to end, which a sweep passes on to its jobs."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

ASKED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Heard:
    """Which signal asked for an end, and how often one did."""

    def __init__(self) -> None:
        self.number = 0
        """The first; 0: none."""
        self.times = 0

    @property
    def name(self) -> str:
        return "Ctrl-C" if self.number == signal.SIGINT else signal.Signals(self.number).name

    def hear(self, number: int, frame: FrameType | None = None) -> None:
        self.number = self.number or number
        self.times += 1


@contextmanager
def hearing() -> Iterator[Heard]:
    """While it lasts signals are counted. One that is ignored, as by nohup, stays so."""
    heard = Heard()
    if threading.current_thread() is not threading.main_thread():
        yield heard
        return
    asked = [number for number in ASKED if signal.getsignal(number) is not signal.SIG_IGN]
    before = {number: signal.signal(number, heard.hear) for number in asked}
    try:
        yield heard
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
