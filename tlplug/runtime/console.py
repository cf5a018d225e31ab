"""Print to a terminal that may be closed, and keep libraries quiet."""

from __future__ import annotations

import logging
import os
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import IO, Any, cast

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table


@contextmanager
def quiet_libraries() -> Iterator[None]:
    """Hide warnings, log lines below ERROR and progress bars of libraries."""
    import transformers

    names = ("lightning.pytorch", "lightning.fabric", "transformers", "peft", "bitsandbytes", "datasets")
    levels = {name: logging.getLogger(name).level for name in names}
    bars = transformers.utils.logging.is_progress_bar_enabled()
    for name in names:
        logging.getLogger(name).setLevel(logging.ERROR)
    transformers.utils.logging.disable_progress_bar()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            yield
        finally:
            for name, level in levels.items():
                logging.getLogger(name).setLevel(level)
            if bars:
                transformers.utils.logging.enable_progress_bar()


def print_facts(console: Console, rows: Mapping[str, str]) -> None:
    """Print a table of names and values, with each value wrapped inside its column."""
    table = Table.grid(padding=(0, 2))
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in rows.items():
        table.add_row(name, escape(value))
    console.print(table)


class Reporter:
    """Print lines and progress on a console, or without one nothing."""

    def __init__(self, console: Console | None = None) -> None:
        self.console = console or Console(quiet=True)

    def line(self, text: str) -> None:
        self.console.print(text, markup=False, highlight=False, soft_wrap=True)

    @contextmanager
    def progress(self, description: str, total: int) -> Iterator[Callable[[int], None]]:
        """Show a bar on a terminal, nothing elsewhere; what is yielded takes how many more are done."""
        if self.console.quiet or not self.console.is_terminal:
            yield lambda count: None
            return
        columns = (TextColumn(description), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        with Progress(*columns, console=self.console, transient=True) as bar:
            task = bar.add_task(description, total=total)
            yield lambda count: bar.advance(task, count)


def open_console() -> Console:
    """Return a console for long work, which continues after the terminal or pipe is closed."""
    return Console(file=cast("IO[str]", BrokenPipeSafeStream(sys.stdout)))


def print_error(message: str) -> None:
    """Print a line to stderr, which may be closed."""
    print(message, file=cast("IO[str]", BrokenPipeSafeStream(sys.stderr)), flush=True)


class BrokenPipeSafeStream:
    """A stream that discards what is written after the terminal or pipe was closed."""

    def __init__(self, stream: IO[str]) -> None:
        self.stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)

    def write(self, text: str) -> int:
        try:
            return self.stream.write(text)
        except OSError:
            self._discard()
            return len(text)

    def flush(self) -> None:
        try:
            self.stream.flush()
        except OSError:
            self._discard()

    def _discard(self) -> None:
        """Send buffered text to /dev/null, since flushing it at exit would raise once more."""
        os.dup2(os.open(os.devnull, os.O_WRONLY), self.stream.fileno())
