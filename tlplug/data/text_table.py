"""Tables in CSV, TSV, JSON Lines and JSON files."""

from __future__ import annotations

from functools import cached_property
from glob import escape
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from tlplug.contracts import UsageError
from tlplug.data.csv_records import SEPARATORS
from tlplug.data.lines import Scan, records, scan
from tlplug.data.rows import quiet_datasets
from tlplug.data.table import FileTable

if TYPE_CHECKING:
    from datasets import Dataset


class TextTable(FileTable):
    """A file with lines, read once beforehand to find what is broken."""

    @cached_property
    def _scan(self) -> Scan:
        return scan(self.path)

    def columns(self) -> list[str]:
        """The header, or all keys that rows have."""
        return list(self._scan.kinds)

    def broken(self) -> list[str]:
        """Each broken record with its line."""
        return [f"{self._line(line)}: {problem}" for line, problem in self._scan.problems]

    def kinds(self, column: str) -> dict[str, str]:
        """Kind of value -> the first line that has it."""
        return {kind: self._line(line) for kind, line in self._scan.kinds[column].items()}

    def place(self, row: int) -> str:
        """The line that the row begins on."""
        return self._line(self._scan.lines[row])

    def _line(self, line: int) -> str:
        return f"{self.title}, line {line}"


class CsvTable(TextTable):
    """Every cell is text: `NA`, `1` and the empty one too."""

    def load(self, columns: list[str]) -> Dataset:
        """The cells of these columns, through the `csv` builder of `datasets`."""
        datasets = quiet_datasets()
        with TemporaryDirectory() as cache:
            dataset = datasets.Dataset.from_csv(
                escape(str(self.path)),
                features=datasets.Features({column: datasets.Value("string") for column in columns}),
                cache_dir=cache,
                keep_in_memory=True,
                sep=SEPARATORS[self.path.suffix.lower()],
                keep_default_na=False,
            )
        self._expect_as_many_rows_as_lines(len(dataset))
        return dataset

    def _expect_as_many_rows_as_lines(self, rows: int) -> None:
        if rows != (lines := len(self._scan.lines)):
            raise UsageError(
                f"{self.title} has {lines} rows by its lines and {rows} as `datasets` reads it. "
                "Look for stray quotes and for lines that hold nothing but blanks."
            )


class JsonTable(TextTable):
    """JSON Lines or a list of objects. A key that a row does not have is null.

    The `json` builder of `datasets` is not used: it makes timestamps of text such as "2020-01-01", and fails
    at blank lines beside mixed columns and at keys that first come late in a large file.
    """

    def load(self, columns: list[str]) -> Dataset:
        """The values of these columns, as they stand in the file."""
        values: dict[str, list[Any]] = {column: [] for column in columns}
        for record in records(self.path):
            for column in columns:
                values[column].append(record.values.get(column))
        try:
            return quiet_datasets().Dataset.from_dict(values)
        except (ValueError, TypeError, OverflowError) as error:
            raise UsageError(
                f"{self.title}: {' or '.join(columns)} has an unusable value: {error}"
            ) from error
