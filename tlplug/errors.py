"""What is told to the user in one message, without a traceback."""


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
