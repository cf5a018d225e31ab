"""Run a command plan: choose its run directory, log to it, and let the same command resume it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tlplug.commands.command_plan import CommandPlan
from tlplug.config.job import Job
from tlplug.errors import Stopped
from tlplug.interfaces import TaskHead
from tlplug.runs import directory as run_directory
from tlplug.runs.launch import follows
from tlplug.runtime.files import atomic_write


def choose_folder(plan: CommandPlan, result: str) -> Path | None:
    """Return the run directory; None in a process of a distributed run that writes nothing.

    Args:
        result: the name of the file that is written last.

    Raises:
        UsageError: the run directory has other content than that of the same command.
    """
    if follows(plan.first.trainer):
        return None
    names = (plan.first.task, plan.command.name)
    return run_directory.choose_or_go_on(plan.first.run_dir, plan.config(), result, *names)


@contextmanager
def logged(plan: CommandPlan, folder: Path, step: str) -> Iterator[None]:
    """Write config.yaml and log to the run directory.

    Args:
        step: the unit of work after which the same command resumes, such as `training`.

    Raises:
        Stopped: a signal ended the run; the message says how to resume it.
    """
    with run_directory.logged(folder / run_directory.LOG):
        atomic_write(folder / run_directory.CONFIG, plan.config())
        try:
            yield
        except Stopped as stopped:
            message = f"{stopped}; the same command goes on from the last {step} that was finished"
            raise Stopped(stopped.signal, message) from stopped


def describe_task(job: Job, head: TaskHead) -> str:
    """Return the task with its head and labels as text."""
    return f"{job.task} ({'; '.join(filter(None, (job.head_name, ', '.join(head.labels))))})"
