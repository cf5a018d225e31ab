"""Words for a person, on a terminal that may be closed, or a pipe whose reader has gone: then they are not said."""

from __future__ import annotations

import os
import sys
from typing import IO, Any, cast

from rich.console import Console


def console() -> Console:
    """One for long work, which goes on when nobody is there to read of it."""
    return Console(file=cast("IO[str]", Steady(sys.stdout)))


def tell(words: str) -> None:
    """A sentence at the end of it all."""
    print(words, file=cast("IO[str]", Steady(sys.stderr)), flush=True)


class Steady:
    """A stream that falls silent where it cannot be written to any more."""

    def __init__(self, stream: IO[str]) -> None:
        self.stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)

    def write(self, text: str) -> int:
        try:
            return self.stream.write(text)
        except OSError:
            self._hush()
            return len(text)

    def flush(self) -> None:
        try:
            self.stream.flush()
        except OSError:
            self._hush()

    def _hush(self) -> None:
        """What was not written yet would be an error once more when Python ends."""
        os.dup2(os.open(os.devnull, os.O_WRONLY), self.stream.fileno())
