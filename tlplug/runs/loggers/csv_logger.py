"""Log a run to metrics.csv in the run directory, for `logger=csv`."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path

from tlplug.runs.loggers.service import Ended, Ending
from tlplug.runtime.files import atomic_write

STEP = "step"
Row = dict[str, str]
"""The non-empty cells of a row by column."""


class CsvRows:
    """Write each row at once. A resumed run continues after the rows up to its checkpoint."""

    name = "csv"

    def __init__(self, folder: Path) -> None:
        self.path = folder / "metrics.csv"
        self.rows: list[Row] | None = None
        self.columns: list[str] = []
        self.tied: list[Row] = []
        """Earlier rows at the step where the run resumes, which may be logged again."""

    def start(self) -> None:
        """Do nothing: the file is opened with the first row, whose step decides which earlier rows remain."""

    def row(self, values: Mapping[str, float], step: int) -> None:
        try:
            self._add({**{name: str(value) for name, value in values.items()}, STEP: str(step)})
        except OSError:
            self.rows = None  # The next row reads the file again, which may end in half a row.
            raise

    def _add(self, row: Row) -> None:
        if self.rows is None:
            self._go_on(int(row[STEP]))
        assert self.rows is not None
        again = [old for old in self.tied if old.keys() == row.keys() and old[STEP] == row[STEP]]
        new = [name for name in row if name not in self.columns]
        self.tied = [old for old in self.tied if old not in again]
        self.rows = [*(old for old in self.rows if old not in again), row] if again else [*self.rows, row]
        self.columns = sorted({*self.columns, *new})
        if again or new or not self.path.is_file():
            atomic_write(self.path, table(self.columns, self.rows, header=True))
        else:
            with self.path.open("a", encoding="utf-8", newline="") as file:
                file.write(table(self.columns, [row]))

    def _go_on(self, step: int) -> None:
        """Read the earlier rows up to `step`, and rewrite the file without later ones, which are logged again."""
        earlier = read(self.path)
        self.rows = [row for row in earlier if int(row[STEP]) <= step]
        self.tied = [row for row in self.rows if int(row[STEP]) == step]
        self.columns = sorted({name for row in self.rows for name in row})
        if earlier:
            atomic_write(self.path, table(self.columns, self.rows, header=True))

    def ended(self, ended: Ended) -> None:
        """Do nothing: result.json is in the same folder."""

    def finish(self, ending: Ending) -> None:
        """Do nothing: all rows are already written."""


def read(path: Path) -> list[Row]:
    """Return the complete rows of a file, without one that is cut off; empty where the file does not exist."""
    if not path.is_file():
        return []
    with path.open(encoding="utf-8", newline="") as file:
        text = file.read()
    whole = text[: text.rfind("\n") + 1]
    rows = [
        {name: cell for name, cell in row.items() if name and cell}
        for row in csv.DictReader(io.StringIO(whole))
    ]
    return [row for row in rows if row.get(STEP, "").isdecimal()]


def table(columns: Sequence[str], rows: Sequence[Row], header: bool = False) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, restval="", lineterminator="\n")
    if header:
        writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()
