"""Ctrl-C, SIGTERM and SIGHUP: a training that can keep what it has is asked to, everything else ends at once."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType

from tlplug.errors import Stopped

NAMES = {
    signal.SIGINT: "Ctrl-C",
    signal.SIGTERM: "SIGTERM",
    signal.SIGHUP: "the end of its terminal (SIGHUP)",
}


class Stop:
    """Whether the run is to end."""

    def __init__(self) -> None:
        self.signal = 0
        """The first that was heard; 0: none."""
        self.since = 0.0
        self.patient = False
        """Somebody looks at `signal` soon. At another time, and when it comes again, a signal raises at once."""

    def heard(self, number: int, frame: FrameType | None = None) -> None:
        if self.signal or not self.patient:
            raise stopped_by(number)
        self.signal, self.since = number, time.monotonic()
        # A print could meet another one that it interrupts; and the terminal may be gone.
        with suppress(OSError):
            os.write(2, b"\ntlplug: stopping after this step; once more to stop at once\n")


def stopped_by(number: int) -> Stopped:
    return Stopped(number, f"stopped by {NAMES[signal.Signals(number)]}")


@contextmanager
def signals(stop: Stop) -> Iterator[Stop]:
    """While it lasts, `stop` hears the process's signals."""
    with heard_by(stop.heard):
        yield stop


@contextmanager
def heard_by(hear: Callable[[int, FrameType | None], None]) -> Iterator[None]:
    """While it lasts, `hear` is called for each signal, but for those that are ignored (`nohup`, a shell's background).

    Only a program's main thread has any.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    asked = [number for number in NAMES if signal.getsignal(number) is not signal.SIG_IGN]
    before = {number: signal.signal(number, hear) for number in asked}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
