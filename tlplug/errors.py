"""The errors that a user sees as one message, without a traceback, and sentences that such messages share."""

from collections.abc import Iterable
from difflib import get_close_matches


class UsageError(Exception):
    """Wrong usage or wrong data: what is wrong, where, and what to do. Exit code 2."""


class PluginError(UsageError):
    """A plugin that was asked for cannot be used; names its distribution and entry point."""


class TrainingFailed(Exception):
    """A training cannot go on: at which step, of which examples, and what would help. Exit code 1, told without a traceback.

    The message is empty in a further process of a run, where the first one tells it.
    """


class Stopped(BaseException):
    """The run was asked to end by a signal, and has kept what it had; says how to go on.

    Args:
        signal: its number; the exit code is 128 more.
    """

    def __init__(self, signal: int, message: str) -> None:
        super().__init__(message)
        self.signal = signal

    @property
    def code(self) -> int:
        return 128 + self.signal


def did_you_mean(name: str, known: Iterable[str], cutoff: float = 0.5) -> str:
    """Return ` Did you mean '...'?` with the known name that is most like this one; empty where none is like it."""
    near = get_close_matches(name, list(known), n=1, cutoff=cutoff)
    return f" Did you mean {near[0]!r}?" if near else ""


def no_such(what: str, name: str, known: Iterable[str]) -> str:
    """Return the sentence for a name that does not exist: the most similar one, then all."""
    known = sorted(known)
    return (
        f"there is no {what} {name!r}.{did_you_mean(name, known)} There is: {', '.join(known) or 'nothing'}."
    )
