"""sweep.json: what a sweep was asked for, and how far each of its jobs is. Written whole at every change."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from tlplug.commands.sweep.protocols import SweepJob
from tlplug.errors import UsageError
from tlplug.runs import directory as run_directory
from tlplug.runs.directory import PROGRESS, finished

FILE, VERSION = "sweep.json", 1
WAITING, RUNNING, DONE = "waiting", "running", "done"
FAILED, KILLED, STOPPED, PRUNED = "failed", "killed", "stopped", "pruned"
ENDED_WELL = (DONE, PRUNED)


@dataclass
class Entry:
    """A job of the sweep."""

    number: int
    overrides: list[str]
    folder: str
    """Its name in the sweep's folder."""
    primary_score: str
    display_scale: int
    higher_is_better: bool
    trusted: bool = False
    state: str = WAITING
    exit_code: int | None = None
    seconds: float = 0.0
    """That its process ran, all of them where it was gone on with."""
    score: float | None = None
    """The primary score on the test rows."""
    verdict: str | None = None
    error: str | None = None
    """The last line of what went wrong."""

    def take_result(self, run: Path) -> None:
        """Score and verdict, from the run's result.json."""
        result: dict[str, Any] = json.loads((run / run_directory.RESULT).read_text(encoding="utf-8"))
        self.primary_score, self.display_scale = result["primary_score"], result["display_scale"]
        self.score = result["scores"][self.primary_score]
        self.verdict = result["verdict"]["label"]


@dataclass
class Record:
    """All of sweep.json. A write that fails does not end the sweep: `problem` says so in the end."""

    folder: Path
    words: list[str]
    """The command line without run_dir and without `-m`."""
    entries: dict[int, Entry] = field(default_factory=dict)
    problem: OSError | None = None

    def add(self, job: SweepJob) -> Entry:
        """Return the job's entry, created if needed."""
        if job.number not in self.entries:
            told = (job.primary_score, job.display_scale, job.higher_is_better, job.trusted)
            self.entries[job.number] = Entry(job.number, list(job.overrides), job.folder.name, *told)
        return self.entries[job.number]

    def jobs(self) -> list[SweepJob]:
        return [
            SweepJob(
                number=entry.number,
                overrides=tuple(entry.overrides),
                folder=self.folder / entry.folder,
                primary_score=entry.primary_score,
                display_scale=entry.display_scale,
                higher_is_better=entry.higher_is_better,
                trusted=entry.trusted,
            )
            for entry in self.entries.values()
        ]

    def unfinished(self) -> list[Entry]:
        return [entry for entry in self.entries.values() if entry.state not in ENDED_WELL]

    def write(self) -> None:
        self.problem = None
        try:
            write(self.folder, self.words, self.entries.values())
        except OSError as error:
            self.problem = error


def write(folder: Path, words: Sequence[str], entries: Any) -> None:
    value = {"version": VERSION, "overrides": list(words), "jobs": [asdict(entry) for entry in entries]}
    run_directory.write_json(folder / FILE, value)


def read(folder: Path) -> Record:
    """Return the record of an earlier process; jobs that it started and did not finish wait again.

    Raises:
        UsageError: there is no sweep, or one of another version.
    """
    path = folder / FILE
    if not path.is_file():
        raise UsageError(f"{folder} holds no {FILE}: no sweep was begun there that could be gone on with")
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        if found["version"] != VERSION:
            raise UsageError(f"{path} is of version {found['version']}; this tlplug reads version {VERSION}")
        known = {field.name for field in fields(Entry)}
        entries = [
            Entry(**{key: value for key, value in job.items() if key in known}) for job in found["jobs"]
        ]
        words = [str(word) for word in found["overrides"]]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UsageError(f"{path} cannot be read: {error}") from error
    for entry in entries:
        expect_inside(entry, path)
        if entry.state != PRUNED:
            entry.state = DONE if finished(folder / entry.folder) else WAITING
            entry.error = None
    return Record(folder, words, {entry.number: entry for entry in entries})


def expect_inside(entry: Entry, path: Path) -> None:
    """Raise an error where a job's folder is not the one of its number inside the sweep's folder."""
    if entry.folder != str(entry.number):
        raise UsageError(f"{path}: job {entry.number} is said to lie in {entry.folder!r}")


@dataclass(frozen=True)
class Progress:
    """What a run last wrote about itself; nothing before it has."""

    what: str = ""
    """`epoch 2/3` of the run itself, `baseline scratch` of another training."""
    scores: tuple[tuple[int, float], ...] = ()
    """Steps, and the primary score on the validation rows after each."""

    @property
    def score(self) -> float | None:
        return self.scores[-1][1] if self.scores else None


def progress_of(run: Path) -> Progress:
    """Return a job's progress; an empty one where progress.json does not exist or is something else."""
    try:
        found = json.loads((run / PROGRESS).read_text(encoding="utf-8"))
        return Progress(what(found), tuple((int(step), float(score)) for step, score in found["scores"]))
    except (OSError, ValueError, KeyError, TypeError):
        return Progress()


def what(found: dict[str, Any]) -> str:
    if str(found["stage"]).startswith("baseline"):
        return str(found["stage"])
    return f"epoch {found['epoch']}/{found['epochs']}"
