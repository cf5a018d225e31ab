"""Ctrl-C, SIGTERM and SIGHUP: a training that can keep what it has is asked to, everything else ends at once."""

from __future__ import annotations

import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from tlplug.contracts import Stopped

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
        print("\ntlplug: stopping after this step; once more to stop at once", file=sys.stderr)


def stopped_by(number: int) -> Stopped:
    return Stopped(number, f"stopped by {NAMES[signal.Signals(number)]}")


@contextmanager
def signals(stop: Stop) -> Iterator[Stop]:
    """While it lasts, `stop` hears the process's signals, those that are not ignored (`nohup`, a shell's background).

    Only a program's main thread has any.
    """
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return
    heard = [number for number in NAMES if signal.getsignal(number) != signal.SIG_IGN]
    before = {number: signal.signal(number, stop.heard) for number in heard}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
