"""Ctrl-C and other requests to end, which a sweep passes on to its jobs."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from tlplug.stopping import heard_by


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
    """While it lasts signals are counted."""
    heard = Heard()
    with heard_by(heard.hear):
        yield heard
