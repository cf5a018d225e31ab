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
    """Lines of libraries that say nothing to the user of a run are kept off the screen; errors are not."""
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


def facts(console: Console, rows: Mapping[str, str]) -> None:
    """A name and a value a line, values wrapped under themselves."""
    table = Table.grid(padding=(0, 2))
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in rows.items():
        table.add_row(name, escape(value))
    console.print(table)


@contextmanager
def counting(console: Console, what: str, rows: int) -> Iterator[Callable[[int], None]]:
    """Progress of what is done to so many rows: a bar on a terminal, nothing elsewhere."""
    if not console.is_terminal:
        yield lambda count: None
        return
    columns = (TextColumn(what), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True) as bar:
        shown = bar.add_task(what, total=rows)
        yield lambda count: bar.advance(shown, count)


def console() -> Console:
    """One for long work, which goes on when nobody is there to read of it."""
    return Console(file=cast("IO[str]", Steady(sys.stdout)))


def tell(words: str) -> None:
    """A sentence at the end of it all."""
    print(words, file=cast("IO[str]", Steady(sys.stderr)), flush=True)


class Steady:
    """A stream that falls silent where it cannot be written to any more."""

    def __init__(self, stream: IO[str]) -> None:
        self.stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)

    def write(self, text: str) -> int:
        try:
            return self.stream.write(text)
        except OSError:
            self._hush()
            return len(text)

    def flush(self) -> None:
        try:
            self.stream.flush()
        except OSError:
            self._hush()

    def _hush(self) -> None:
        """What was not written yet would be an error once more when Python ends."""
        os.dup2(os.open(os.devnull, os.O_WRONLY), self.stream.fileno())
