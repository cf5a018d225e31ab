"""Show a running sweep: a live table on a terminal, elsewhere a line for each event."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from rich.console import Console, Group
from rich.live import Live as Display
from rich.text import Text

from tlplug.commands.sweep.loop import Live, Screen
from tlplug.commands.sweep.protocols import Search
from tlplug.commands.sweep.record import Entry, Record
from tlplug.commands.sweep.table import cells, differences, jobs_table, most_telling, summary
from tlplug.reports.formatting import figure

FRAME = 6
"""Lines of the display that are not rows of the table: summary, notes, head, rule, margin."""


@dataclass
class Lines(Screen):
    """Prints a line when a job starts and when it ends."""

    console: Console
    record: Record

    def started(self, live: Live) -> None:
        self.note(f"job {live.job.number} started: {self._words(live.entry)}")

    def ended(self, entry: Entry) -> None:
        state, _, seconds = cells(entry, None)
        score = (
            ""
            if entry.score is None
            else f", {entry.primary_score} {figure(entry.score, entry.display_scale)}"
        )
        error = f": {entry.error}" if entry.error else ""
        self.note(f"job {entry.number} {state}{score}, after {seconds or 0} s{error}")

    def show(self, lives: dict[int, Live]) -> None:
        """Do nothing: each change has been printed already."""

    def note(self, words: str) -> None:
        self.console.print(words, markup=False, highlight=False, soft_wrap=True)

    def _words(self, entry: Entry) -> str:
        entries = list(self.record.entries.values())
        return differences([other.overrides for other in entries])[entries.index(entry)]


class Table(Screen):
    """Redraws a table of the jobs, limited to the most relevant ones if the screen is too small."""

    def __init__(self, console: Console, record: Record, search: Search, display: Display) -> None:
        self.console, self.record, self.search, self.display = console, record, search, display
        self.notes = ""

    def started(self, live: Live) -> None:
        """Do nothing: the table shows the job when it is redrawn."""

    def ended(self, entry: Entry) -> None:
        """Do nothing: the table shows the job when it is redrawn."""

    def show(self, lives: dict[int, Live]) -> None:
        entries = list(self.record.entries.values())
        telling = most_telling(entries, max(3, self.console.height - FRAME))
        told = summary(entries, max(self.search.total, len(entries)))
        hidden = len(entries) - len(telling)
        more = f"; {hidden} of them not shown" if hidden else ""
        table = jobs_table(telling, lives, self.console.width, one_line=True)
        notes = [Text(self.notes, style="yellow", no_wrap=True, overflow="ellipsis")] if self.notes else []
        self.display.update(Group(Text(told + more, style="bold"), table, *notes), refresh=True)

    def note(self, words: str) -> None:
        self.notes = words


@contextmanager
def shown(console: Console, record: Record, search: Search) -> Iterator[Screen]:
    """Yield a table for a terminal, else lines. The table is redrawn without a thread, as the sweep starts processes."""
    if not console.is_terminal:
        yield Lines(console, record)
        return
    with Display(console=console, auto_refresh=False, transient=True) as display:
        yield Table(console, record, search, display)
