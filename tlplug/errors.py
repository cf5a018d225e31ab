"""Define the errors that are shown as one message without a traceback, and sentences that their messages share."""

from collections.abc import Iterable
from difflib import get_close_matches


class UsageError(Exception):
    """Wrong usage or data. The message names the mistake, its place and a remedy. Exit code 2."""


class PluginError(UsageError):
    """A selected plugin cannot be used. The message names its distribution and entry point."""


class TrainingFailed(Exception):
    """A training cannot continue. The message names the step, the examples and a remedy. Exit code 1.

    The message is empty in a following process of a run, where the first process reports the error.
    """


class Stopped(BaseException):
    """A signal ended the run after its state was saved. The message says how to resume it.

    Args:
        signal: number of the signal; the exit code is 128 + `signal`.
    """

    def __init__(self, signal: int, message: str) -> None:
        super().__init__(message)
        self.signal = signal

    @property
    def code(self) -> int:
        return 128 + self.signal


def did_you_mean(name: str, known: Iterable[str], cutoff: float = 0.5) -> str:
    """Return ` Did you mean '...'?` with the most similar known name; empty where none is similar."""
    near = get_close_matches(name, list(known), n=1, cutoff=cutoff)
    return f" Did you mean {near[0]!r}?" if near else ""


def no_such(what: str, name: str, known: Iterable[str]) -> str:
    """Return the sentence for a name that does not exist: the most similar one, then all."""
    known = sorted(known)
    return (
        f"there is no {what} {name!r}.{did_you_mean(name, known)} There is: {', '.join(known) or 'nothing'}."
    )
