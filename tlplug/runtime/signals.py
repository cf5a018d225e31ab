"""Handle Ctrl-C, SIGTERM and SIGHUP: training stops after a checkpoint, everything else stops at once."""

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


class StopRequest:
    """A request, by a signal, to end the run."""

    def __init__(self) -> None:
        self.signal = 0
        """The first signal; 0 before there is one."""
        self.since = 0.0
        self.deferred = False
        """A training loop will check `signal` soon. Otherwise, and for a second signal, the handler raises."""

    def handle(self, number: int, frame: FrameType | None = None) -> None:
        if self.signal or not self.deferred:
            raise stop_error(number)
        self.signal, self.since = number, time.monotonic()
        # The signal may have interrupted a print, so print() is not safe; and the terminal may be closed.
        with suppress(OSError):
            os.write(2, b"\ntlplug: stopping after this step; once more to stop at once\n")


def stop_error(number: int) -> Stopped:
    return Stopped(number, f"stopped by {NAMES[signal.Signals(number)]}")


@contextmanager
def stop_on_signals() -> Iterator[StopRequest]:
    """Yield a StopRequest that receives the process's signals."""
    stop = StopRequest()
    with handle_signals(stop.handle):
        yield stop


@contextmanager
def handle_signals(handler: Callable[[int, FrameType | None], None]) -> Iterator[None]:
    """Call the handler for each signal, except for ignored ones (`nohup`, a shell's background job).

    Only the main thread of a program receives signals.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    numbers = [number for number in NAMES if signal.getsignal(number) is not signal.SIG_IGN]
    before = {number: signal.signal(number, handler) for number in numbers}
    try:
        yield
    finally:
        for number, previous in before.items():
            signal.signal(number, previous)
