"""Run a sweep from a command line with `-m`, and report its runs."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.text import Text

from tlplug.commands.report.report import gather
from tlplug.commands.report.table import show_gathered, show_paths
from tlplug.commands.sweep import folder as folders
from tlplug.commands.sweep import record as records
from tlplug.commands.sweep.errors import show_failures
from tlplug.commands.sweep.folder import SweepFolder
from tlplug.commands.sweep.launchers.local import Local
from tlplug.commands.sweep.lock import locked, wait_for_ends
from tlplug.commands.sweep.loop import Loop, SignalCount
from tlplug.commands.sweep.options import SweepWords, sweep_words
from tlplug.commands.sweep.protocols import Launcher, Search
from tlplug.commands.sweep.record import DONE, Record
from tlplug.commands.sweep.screen import shown
from tlplug.commands.sweep.search.grid import Grid, combinations
from tlplug.commands.sweep.table import jobs_table, summary
from tlplug.config.compose import Composer
from tlplug.errors import UsageError
from tlplug.runs import directory as run_directory
from tlplug.runtime.signals import handle_signals
from tlplug.settings import LocalSettings, OptunaSettings, RaySettings, SlurmSettings


def launcher_of(settings: Any, folder: Path, at_once: int) -> Launcher:
    """Return the launcher that the settings select, importing its library alone.

    Args:
        folder: the folder of the sweep.
        at_once: the number of jobs that run at the same time.
    """
    if isinstance(settings, SlurmSettings):
        from tlplug.commands.sweep.launchers.slurm import Slurm

        return Slurm(settings, folder)
    if isinstance(settings, RaySettings):
        from tlplug.commands.sweep.launchers.ray import Ray

        return Ray(settings, folder)
    from tlplug.commands.sweep.launchers.local import Local

    assert isinstance(settings, LocalSettings)
    return Local(settings, folder, at_once)


MANY = 10
"""The number of jobs above which a message announces the check of their configs."""


def sweep(composer: Composer, words: Sequence[str], console: Console) -> int:
    """Run all jobs and report them; a job that fails does not end the others.

    The configs of a grid are all checked before the first job starts.

    Returns:
        0 if all jobs are done, 1 if some are not, 128 + the signal's number if a signal ended the sweep.

    Raises:
        UsageError: the arguments are invalid, or the folder cannot be used; nothing has been started.
    """
    asked = sweep_words(composer, words)
    found = folders.earlier(asked) if asked.sweep.resume else None
    folder = begun(composer, asked, console) if found is None else found
    with locked(folder):
        record = records.read(folder)
        record.words = folders.words_of(asked)
        with undone(folder if found is None else None):
            search = search_of(SweepFolder(folder, asked.runs, composer), asked.sweep, record)
            launcher = launcher_of(asked.launcher, folder, asked.sweep.max_parallel)
        tell_begun(console, asked, folder, record, found is not None)
        if isinstance(launcher, Local):
            wait_for_ends([job.folder for job in record.jobs()], lambda told: say(console, told))
        received = drive(search, launcher, record, asked.sweep.max_parallel, console)
        report(console, record, search)
        search.close(console)
    if received.number:
        left = "what ran was killed" if received.times > 1 else "what trained has left a checkpoint"
        say(console, f"Stopped; {left}. Go on: {folders.command(folder, record.words)}")
        return 128 + received.number
    if record.unfinished():
        say(console, f"Try the rest again: {folders.command(folder, record.words)}")
    return int(bool(record.unfinished() or record.problem))


def begun(composer: Composer, asked: SweepWords, console: Console) -> Path:
    """Create the folder of a new sweep with sweep.json and, for a grid, all jobs; return the folder."""
    folder = choose(asked)
    each = [] if isinstance(asked.sweep, OptunaSettings) else combinations(composer, asked.runs)
    if len(each) > MANY:
        say(console, f"Checking the configs of {len(each)} jobs")
    jobs = [folders.composed(composer, one, folder / str(number)) for number, one in enumerate(each)]
    folders.new(folder, asked, jobs)
    return folder


@contextmanager
def undone(folder: Path | None) -> Iterator[None]:
    """Delete the folder of a new sweep (None for an earlier one) if a UsageError prevents its start."""
    try:
        yield
    except UsageError:
        if folder is not None:
            shutil.rmtree(folder)
        raise


def tell_begun(console: Console, asked: SweepWords, folder: Path, record: Record, again: bool) -> None:
    if again:
        say(console, f"Going on with the sweep in {folder}")
    elif asked.sweep.resume:
        say(console, f"There is no earlier sweep of this command: it begins now, in {folder}")
    else:
        jobs = f"{len(record.entries)} jobs" if record.entries else "A search"
        say(console, f"{jobs}, {asked.sweep.max_parallel} at once (sweep.max_parallel), in {folder}")


def choose(asked: SweepWords) -> Path:
    try:
        return run_directory.choose(asked.run_dir, folders.SWEEPS)
    except UsageError as error:
        if asked.run_dir and (Path(asked.run_dir).expanduser() / records.FILE).is_file():
            raise UsageError(f"{error}, or go on with the sweep that does: sweep.resume=true") from error
        raise


def search_of(sweep: SweepFolder, settings: Any, record: Record) -> Search:
    if isinstance(settings, OptunaSettings):
        from tlplug.commands.sweep.search.optuna import Optuna

        return Optuna(sweep, settings)
    folders.believe(record, sweep.composer, sweep.words)
    return Grid(record.jobs())


def drive(search: Search, launcher: Launcher, record: Record, at_once: int, console: Console) -> SignalCount:
    """Run all jobs; return the signals that were received meanwhile."""
    received = SignalCount()
    with handle_signals(received.handle), shown(console, record, search) as screen:
        Loop(search, launcher, record, at_once, screen, received).run()
    return received


def report(console: Console, record: Record, search: Search) -> None:
    """Print the table of all jobs and their errors, and compare the finished jobs."""
    entries = sorted(record.entries.values(), key=lambda entry: entry.number)
    console.print(Text(f"\n{summary(entries, max(search.total, len(entries)))}", style="bold"))
    console.print(jobs_table(entries, {}, console.width, one_line=False))
    show_failures(console, record.folder, entries)
    if any(entry.state == DONE for entry in entries):
        compare(console, record.folder)
    say(console, f"Jobs      {record.folder / records.FILE}")
    if record.problem:
        say(console, f"{record.folder / records.FILE} could not be written: {record.problem}")


def compare(console: Console, folder: Path) -> None:
    """Compare all finished runs, and print the comparison and the paths of its report."""
    try:
        gathered, place = gather([folder])
    except (UsageError, OSError) as error:
        say(console, f"There is no report of all runs: {error}")
        return
    show_gathered(console, {**gathered, "excluded": others(gathered)})
    show_paths(console, place)


def others(gathered: Mapping[str, Any]) -> list[Any]:
    """Return the finished runs that cannot be compared; the table of jobs already shows the unfinished ones."""
    return [each for each in gathered["excluded"] if (Path(each["folder"]) / run_directory.RESULT).is_file()]


def say(console: Console, words: str) -> None:
    console.print(words, markup=False, highlight=False, soft_wrap=True)
