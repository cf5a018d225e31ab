"""`resume RUN`: goes on with a run that did not finish, from its last checkpoint."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from tlplug import run_directory
from tlplug.config import job_again
from tlplug.contracts import UsageError
from tlplug.finished import parser


def resume(words: Sequence[str]) -> int:
    """`resume RUN [--trust]`.

    Raises:
        UsageError: there is no run, it has finished, or what it was begun with is not there any more.
    """
    given = parser("resume", "Goes on with a run that did not finish.").parse(words)
    folder: Path = given.run
    if (folder / run_directory.RESULT).is_file():
        raise UsageError(f"{folder} has finished: it holds {run_directory.RESULT}")
    job = job_again(folder, run_directory.begun(folder)["words"], given.trust)
    from rich.console import Console

    from tlplug.run import run

    run(job, Console(), folder)
    return 0
