"""Read and print the errors of failed jobs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from tlplug.commands.sweep.launchers.local import HEADER
from tlplug.commands.sweep.lock import OUTPUT
from tlplug.commands.sweep.record import FAILED, KILLED, Entry

TRACEBACK, USAGE = "Traceback (most recent call last):", "tlplug: "
TAIL, LAST = 256 * 1024, 12
"""Bytes at the end of the output that are searched for an error, and lines that are shown if there is none."""


def said(run: Path) -> str:
    """Return the last traceback of the job's last process, else its last message, else its last lines."""
    lines = last_output(run)
    begins = [number for number, line in enumerate(lines) if TRACEBACK in line or line.startswith(USAGE)]
    return "\n".join(lines[begins[-1] :] if begins else lines[-LAST:]).strip()


def last_output(run: Path) -> list[str]:
    """Return the lines that the last process has written, of the last TAIL bytes; empty without an output."""
    try:
        with (run / OUTPUT).open("rb") as file:
            file.seek(0, 2)
            file.seek(max(0, file.tell() - TAIL))
            lines = file.read().decode("utf-8", "replace").splitlines()
    except FileNotFoundError:
        return []
    begins = [number for number, line in enumerate(lines) if line.startswith(HEADER)]
    return lines[begins[-1] + 1 :] if begins else lines


def last_line(run: Path) -> str:
    """Return the error in one line: the message, or the last line of a traceback."""
    told = said(run)
    if not told:
        return "it ended without a result and said nothing"
    lines = told.split("\n")
    return lines[0].removeprefix(USAGE) if lines[0].startswith(USAGE) else lines[-1].strip()


def show_failures(console: Console, folder: Path, entries: Sequence[Entry]) -> None:
    """Print each different error in full, with the paths of the jobs' output."""
    by_words: dict[str, list[Entry]] = {}
    for entry in entries:
        if entry.state in (FAILED, KILLED):
            words = said(folder / entry.folder) if entry.state == FAILED else ""
            by_words.setdefault(words or str(entry.error), []).append(entry)
    for words, same in by_words.items():
        console.print(f"\n{named(same)}", style="bold red", markup=False, highlight=False)
        console.print(words, markup=False, highlight=False, soft_wrap=True)
        paths = ", ".join(str(folder / entry.folder / OUTPUT) for entry in same)
        console.print(f"All of it  {paths}", markup=False, highlight=False, soft_wrap=True)


def named(entries: Sequence[Entry]) -> str:
    numbers = ", ".join(str(entry.number) for entry in entries)
    first = entries[0]
    told = "was killed" if first.state == KILLED else f"failed, exit code {first.exit_code}"
    if len(entries) > 1:
        return f"Jobs {numbers}: each {told}"
    return f"Job {numbers} {told}: {' '.join(first.overrides)}"
