"""Make the table of the jobs of a sweep: differing overrides, state, score and time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from tlplug.commands.sweep.loop import Live
from tlplug.commands.sweep.record import DONE, FAILED, KILLED, PRUNED, RUNNING, STOPPED, WAITING, Entry
from tlplug.reports.formatting import figure

WORDS = "what differs"
HEADS = ("state, verdict", "score", "seconds")
AROUND = 19
"""Characters that the job numbers, the edges and the padding between cells take."""
ORDER = (RUNNING, FAILED, KILLED, STOPPED, DONE, PRUNED, WAITING)
"""States in the order of their priority if there is no room for all jobs."""
STYLES = {RUNNING: "bold", FAILED: "red", KILLED: "red", STOPPED: "yellow", WAITING: "dim", PRUNED: "dim"}


def jobs_table(entries: Sequence[Entry], lives: Mapping[int, Live], width: int, one_line: bool) -> Table:
    """Return a table with a row for each job.

    Args:
        width: the width of the screen, which limits the column of overrides.
        one_line: cut overrides that are too wide, so that each row takes one line, instead of wrapping them.
    """
    table = Table(box=SIMPLE_HEAD, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column("job", justify="right", no_wrap=True)
    found = [cells(entry, lives.get(entry.number)) for entry in entries]
    taken = sum(max(map(len, column)) for column in zip(HEADS, *found, strict=True))
    room = max(len(WORDS), width - taken - AROUND)
    table.add_column(WORDS, overflow="ellipsis" if one_line else "fold", no_wrap=one_line, max_width=room)
    for name in HEADS:
        table.add_column(name, justify="left" if name == HEADS[0] else "right", no_wrap=True)
    differing = differences([entry.overrides for entry in entries])
    for entry, words, others in zip(entries, differing, found, strict=True):
        table.add_row(str(entry.number), Text(words), *others, style=STYLES.get(entry.state, ""))
    return table


def cells(entry: Entry, live: Live | None) -> tuple[str, str, str]:
    """Return the cells of a job: state (with the verdict), score, seconds."""
    score, seconds = entry.score, entry.seconds
    state = entry.state
    if live is not None:
        score, seconds = live.progress.score, live.seconds
        state = f"{RUNNING} {live.progress.what}".rstrip()
        state = live.progress.what if live.progress.what.startswith("baseline") else state
    if entry.state == DONE and entry.verdict not in (None, "none"):
        state = f"{DONE}, {entry.verdict}"
    if entry.state == FAILED and entry.exit_code is not None:
        state = f"{FAILED}, exit code {entry.exit_code}"
    if entry.state == KILLED and entry.exit_code is not None:
        state = f"{KILLED}, signal {-entry.exit_code}"
    shown = "" if score is None else figure(score, entry.display_scale)
    return state, shown, f"{seconds:,.0f}" if seconds else ""


def differences(overrides: Sequence[Sequence[str]]) -> list[str]:
    """Return the overrides of each job that not all jobs share, or all overrides if a job would have none."""
    common = set.intersection(*(set(words) for words in overrides)) if overrides else set()
    found = [" ".join(word for word in words if word not in common) for words in overrides]
    return found if all(found) else [" ".join(words) for words in overrides]


def summary(entries: Sequence[Entry], total: int) -> str:
    """Return the number of jobs in each state: `12 of 30 done, 2 running, 1 failed`."""
    counts = {state: sum(entry.state == state for entry in entries) for state in ORDER}
    counts[WAITING] = total - sum(count for state, count in counts.items() if state != WAITING)
    told = [f"{counts[DONE]} of {total} {DONE}"]
    told += [f"{counts[state]} {state}" for state in ORDER if state != DONE and counts[state]]
    return ", ".join(told)


def most_telling(entries: Sequence[Entry], room: int) -> list[Entry]:
    """Return at most `room` jobs, by number.

    Running and failed jobs have priority, then those that finished last, then those that start next.
    """
    if len(entries) <= room:
        return list(entries)
    ranked = sorted(entries, key=lambda entry: (ORDER.index(entry.state), nearness(entry)))
    return sorted(ranked[:room], key=lambda entry: entry.number)


def nearness(entry: Entry) -> int:
    """Return a sort key that puts the lowest number first for waiting jobs, and the highest for all others."""
    return entry.number if entry.state == WAITING else -entry.number
