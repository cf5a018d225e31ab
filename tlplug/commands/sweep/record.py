"""Read and write sweep.json, which has the overrides of a sweep and the state of each job."""

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
    """The name of the job's folder in the sweep's folder."""
    primary_score: str
    display_scale: int
    higher_is_better: bool
    trusted: bool = False
    state: str = WAITING
    exit_code: int | None = None
    seconds: float = 0.0
    """The time that the processes of the job ran."""
    score: float | None = None
    """The primary score on the test rows."""
    verdict: str | None = None
    error: str | None = None
    """The error in one line."""

    def take_result(self, run: Path) -> None:
        """Set the score and the verdict from the result.json of the run."""
        result: dict[str, Any] = json.loads((run / run_directory.RESULT).read_text(encoding="utf-8"))
        self.primary_score, self.display_scale = result["primary_score"], result["display_scale"]
        self.score = result["scores"][self.primary_score]
        self.verdict = result["verdict"]["label"]


@dataclass
class Record:
    """The content of sweep.json. An error while writing it does not end the sweep but is stored in `problem`."""

    folder: Path
    words: list[str]
    """The command line without `run_dir`, `-m` and secrets."""
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
    """Return the record of an earlier process; jobs without a result, except pruned ones, are waiting again.

    Raises:
        UsageError: the folder has no sweep, or sweep.json is damaged or has another version.
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
    """Raise an error if the name of a job's folder is not the job's number."""
    if entry.folder != str(entry.number):
        raise UsageError(f"{path}: job {entry.number} is said to lie in {entry.folder!r}")


@dataclass(frozen=True)
class Progress:
    """The latest progress of a run; empty before the run has written any."""

    what: str = ""
    """The stage: `epoch 2/3`, or `baseline scratch` while a baseline is trained."""
    scores: tuple[tuple[int, float], ...] = ()
    """Pairs of a step and the primary score on the validation rows after it."""

    @property
    def score(self) -> float | None:
        return self.scores[-1][1] if self.scores else None


def progress_of(run: Path) -> Progress:
    """Return the progress of a run, empty if progress.json does not exist or is invalid."""
    try:
        found = json.loads((run / PROGRESS).read_text(encoding="utf-8"))
        return Progress(what(found), tuple((int(step), float(score)) for step, score in found["scores"]))
    except (OSError, ValueError, KeyError, TypeError):
        return Progress()


def what(found: dict[str, Any]) -> str:
    if str(found["stage"]).startswith("baseline"):
        return str(found["stage"])
    return f"epoch {found['epoch']}/{found['epochs']}"
