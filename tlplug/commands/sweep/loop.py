"""Run the jobs of a sweep: start them as slots become free, read their progress, and record how they end."""

from __future__ import annotations

import signal
import time
from dataclasses import dataclass, field
from types import FrameType
from typing import Protocol

from tlplug.commands.sweep import record as states
from tlplug.commands.sweep.errors import last_line
from tlplug.commands.sweep.protocols import LEFT_CHECKPOINT, Launcher, NotTaken, Running, Search, SweepJob
from tlplug.commands.sweep.record import Entry, Progress, Record, progress_of
from tlplug.runtime.signals import NAMES


class SignalCount:
    """Counts the signals that request a sweep to end."""

    def __init__(self) -> None:
        self.number = 0
        """The number of the first signal; 0 before the first."""
        self.times = 0

    def handle(self, number: int, frame: FrameType | None = None) -> None:
        self.number = self.number or number
        self.times += 1


TICK, LOOK = 0.2, 1.0
"""Seconds between two checks of processes, and of files."""
PAUSE = 60.0
"""Seconds before jobs that a cluster refused are submitted again."""


@dataclass
class Live:
    """A running job."""

    job: SweepJob
    entry: Entry
    running: Running
    before: float
    """Seconds that earlier processes of the job ran."""
    since: float = field(default_factory=time.monotonic)
    progress: Progress = field(default_factory=Progress)
    told: int = 0
    """The number of validation scores that the search has received."""
    pruned: bool = False

    @property
    def seconds(self) -> float:
        return self.before + time.monotonic() - self.since


class Screen(Protocol):
    """The display of a running sweep."""

    def started(self, live: Live) -> None: ...

    def ended(self, entry: Entry) -> None: ...

    def show(self, lives: dict[int, Live]) -> None: ...

    def note(self, words: str) -> None: ...


class Loop:
    """Runs a sweep until all jobs end or a signal requests its end."""

    def __init__(
        self,
        search: Search,
        launcher: Launcher,
        record: Record,
        at_once: int,
        screen: Screen,
        received: SignalCount,
    ) -> None:
        self.search, self.launcher, self.record = search, launcher, record
        self.at_once, self.screen, self.received = at_once, screen, received
        self.lives: dict[int, Live] = {}
        self._again: list[SweepJob] = []
        """Jobs that the launcher refused."""
        self._looked = self._pause = 0.0
        self._stopping = False

    def run(self) -> None:
        """Run all jobs; when this returns or raises, no job is running."""
        try:
            self._fill()
            while self.lives or (self._again and not self.received.number):
                time.sleep(TICK)
                self._check_signals()
                self._look()
                self._reap()
                if not self._stopping:
                    self._fill()
                self.screen.show(self.lives)
        finally:
            self.launcher.close()
            self.record.write()

    def _fill(self) -> None:
        """Start jobs while there are free slots; a job that has its result already is only recorded."""
        if time.monotonic() < self._pause:
            return
        fresh: list[SweepJob] = []
        try:
            with self.launcher.together():
                while len(self.lives) < self.at_once and not self.received.number:
                    job = self._again.pop(0) if self._again else self.search.next()
                    if job is None:
                        return
                    fresh.append(job)
                    self._begin(job)
        except NotTaken as error:
            self._put_back(fresh, error)

    def _put_back(self, jobs: list[SweepJob], error: NotTaken) -> None:
        """Put jobs back that a cluster refused, to submit them again later; raise the error if no job is running."""
        for job in jobs:
            if self.lives.pop(job.number, None) is not None:
                self.record.entries[job.number].state = states.WAITING
                self._again.append(job)
        self.record.write()
        if not self.lives:
            raise error
        self._pause = time.monotonic() + PAUSE
        self.screen.note(f"{error}; it is tried again in {PAUSE:.0f} s")

    def _begin(self, job: SweepJob) -> None:
        entry = self.record.add(job)
        if job.finished:
            entry.state = states.DONE
            entry.take_result(job.folder)
            self.record.write()
            self.search.ended(job, 0)
            return
        try:
            running = self.launcher.start(job)
        except OSError as error:
            entry.state, entry.error = states.FAILED, f"it could not be started: {error}"
            self._told(job, entry, 1)
            return
        entry.state, entry.exit_code, entry.error = states.RUNNING, None, None
        self.lives[job.number] = Live(job, entry, running, entry.seconds)
        self.record.write()
        self.screen.started(self.lives[job.number])

    def _look(self) -> None:
        """Read the progress of the jobs at intervals, and stop those that the search prunes."""
        if time.monotonic() - self._looked < LOOK:
            return
        self._looked = time.monotonic()
        for live in self.lives.values():
            live.progress = progress_of(live.job.folder)
            fresh = live.progress.scores[live.told :]
            live.told = max(live.told, len(live.progress.scores))
            for step, score in fresh:
                if not self.search.seen(live.job, step, score) and not live.pruned:
                    live.pruned = True
                    live.running.stop()

    def _reap(self) -> None:
        for live in list(self.lives.values()):
            code = live.running.code()
            if code is not None:
                del self.lives[live.job.number]
                self._judge(live, code)

    def _judge(self, live: Live, code: int) -> None:
        entry = live.entry
        entry.seconds, entry.exit_code = round(live.seconds, 1), code
        entry.state = state_of(live, code, self._stopping)
        if live.job.finished:
            entry.take_result(live.job.folder)
        entry.error = error_of(entry, live.job)
        self._told(live.job, entry, code)

    def _told(self, job: SweepJob, entry: Entry, code: int) -> None:
        self.record.write()
        self.search.ended(job, code)
        self.screen.ended(entry)

    def _check_signals(self) -> None:
        """Handle signals: the first asks all jobs to stop, the second kills them."""
        if self.received.number and not self._stopping:
            self._stopping = True
            for live in self.lives.values():
                live.running.stop()
            if self.lives:
                name = NAMES[signal.Signals(self.received.number)]
                self.screen.note(
                    f"{name}: waiting for {len(self.lives)} running jobs to leave a checkpoint; "
                    "once more kills them"
                )
        if self.received.times > 1:
            self.launcher.close()


def state_of(live: Live, code: int, stopping: bool) -> str:
    """Return the final state of a job."""
    if code == 0:
        return states.DONE if live.job.finished else states.FAILED
    if live.pruned:
        return states.PRUNED
    if code in LEFT_CHECKPOINT or (stopping and code < 0):
        return states.STOPPED
    return states.KILLED if code < 0 else states.FAILED


def error_of(entry: Entry, job: SweepJob) -> str | None:
    if entry.state == states.KILLED:
        number = -int(entry.exit_code or 0)
        hint = ", which is also what a machine without free memory does" if number == signal.SIGKILL else ""
        return f"killed by signal {number} ({signal.strsignal(number) or 'unknown'}{hint})"
    if entry.state == states.FAILED:
        return last_line(job.folder)
    return None
