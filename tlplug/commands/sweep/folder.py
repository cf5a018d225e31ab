"""Create the folder of a sweep, or find the folder of an earlier one with the same overrides."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tlplug.commands.sweep import record as records
from tlplug.commands.sweep.options import SweepWords
from tlplug.commands.sweep.protocols import NotWritten, Sweep, SweepJob
from tlplug.commands.sweep.record import Record
from tlplug.commands.sweep.search.grid import combinations
from tlplug.config.compose import Composer
from tlplug.config.job import Job, build
from tlplug.config.reopen import needs_trust
from tlplug.errors import UsageError
from tlplug.runs import directory as run_directory
from tlplug.runs.directory import begin
from tlplug.runtime.files import atomic_folder
from tlplug.runtime.secrets import list_redacted_keys, redact, redact_overrides

SWEEPS = "sweeps"
FREE = ("sweep.max_parallel", "sweep.resume", "sweep.n_trials", "launcher")
"""Keys that may differ when a sweep is resumed: they set where jobs run and how many, not which jobs there are."""


@dataclass
class SweepFolder(Sweep):
    """The folder with the jobs of a sweep."""

    folder: Path
    words: Sequence[str]
    composer: Composer

    def begin(self, number: int, overrides: Sequence[str]) -> SweepJob:
        folder = self.folder / str(number)
        job = composed(self.composer, overrides, folder)
        if not folder.exists():
            with whole(folder) as beside:
                begin(job, beside)
        return sweep_job(job, number, folder)


def composed(composer: Composer, overrides: Sequence[str], folder: Path) -> Job:
    """Return the checked job of `overrides` with the run directory `folder`.

    Raises:
        UsageError: the overrides are invalid, or the config of the job has a secret.
    """
    config = composer.compose(overrides)
    config.run_dir = str(folder)
    job = build(config, overrides)
    if hidden := list_redacted_keys(redact(job.config)):
        raise UsageError(
            f"{hidden[0]}: the jobs of a sweep are frozen in files, and no secret is written into one; give it in the "
            "environment"
        )
    return job


def believe(record: Record, composer: Composer, runs: Sequence[str]) -> None:
    """Recompute `trusted` of all entries from the arguments of the user, not from files in the sweep's folder."""
    if not any(entry.trusted for entry in record.entries.values()):
        return
    for entry in record.entries.values():
        typed = list(entry.overrides) in combinations(composer, runs)
        entry.trusted = typed and needs_trust(build(composer.compose(entry.overrides)))


def sweep_job(job: Job, number: int, folder: Path) -> SweepJob:
    told = (job.head.primary_score, job.head.display_scale, job.head.higher_is_better, needs_trust(job))
    return SweepJob(number, tuple(job.typed), folder, *told)


def new(folder: Path, asked: SweepWords, jobs: Sequence[Job]) -> Record:
    """Write the folder of a new sweep with all its jobs; on an error nothing remains.

    Raises:
        UsageError: the folder cannot be written.
    """
    record = Record(folder, words_of(asked))
    with whole(folder) as beside:
        for number, job in enumerate(jobs):
            record.add(sweep_job(job, number, folder / str(number)))
            begin(job, beside / str(number))
        records.write(beside, record.words, record.entries.values())
    return record


@contextmanager
def whole(folder: Path) -> Iterator[Path]:
    """Yield a temporary folder that becomes `folder` once it is complete; on an error nothing remains.

    Raises:
        NotWritten: the folder cannot be written.
    """
    try:
        with atomic_folder(folder) as beside:
            yield beside
    except OSError as error:
        raise NotWritten(
            f"{folder} cannot be written: {error.strerror or error}; nothing was started"
        ) from error


def earlier(asked: SweepWords) -> Path | None:
    """Return the sweep to continue: the one in the given folder, else the newest with the same overrides.

    Raises:
        UsageError: the given folder has other content than a sweep with the same overrides.
    """
    words = words_of(asked)
    if asked.run_dir is None:
        sweeps = sorted((run_directory.OUTPUTS / SWEEPS).glob(f"*/{records.FILE}"), reverse=True)
        return next((path.parent for path in sweeps if is_same(path.parent, words)), None)
    folder = Path(asked.run_dir).expanduser()
    if not folder.is_dir() or not any(folder.iterdir()):
        return None
    expect_same(folder, words)
    return folder


def is_same(folder: Path, words: Sequence[str]) -> bool:
    try:
        return telling(records.read(folder).words) == telling(words)
    except UsageError:
        return False


def expect_same(folder: Path, words: Sequence[str]) -> None:
    there, here = telling(records.read(folder).words), telling(words)
    if there == here:
        return
    differ = [
        f"{where}: {shlex.join(mine - other)}"
        for where, mine, other in (("only in the folder's", there, here), ("only in this one", here, there))
        if mine - other
    ]
    raise UsageError(f"the sweep in {folder} is of another command. {'; '.join(differ)}")


def words_of(asked: SweepWords) -> list[str]:
    """Return the overrides as sweep.json stores them, without secrets."""
    return redact_overrides([*asked.own, *asked.runs])


def telling(words: Iterable[str]) -> Counter[str]:
    """Return the overrides that determine the jobs."""
    return Counter(word for word in words if not is_free(word))


def is_free(word: str) -> bool:
    key = word.partition("=")[0]
    return any(key == name or key.startswith(f"{name}.") for name in FREE)


def command(folder: Path, words: Sequence[str]) -> str:
    """Return the command line that continues the sweep."""
    kept = [word for word in words if not word.startswith("sweep.resume=")]
    return shlex.join(["python", "-m", "tlplug", "-m", *kept, f"run_dir={folder}", "sweep.resume=true"])
