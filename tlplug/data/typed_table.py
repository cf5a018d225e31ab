"""Tables whose columns have types of their own: Parquet files and hub data sets."""

from __future__ import annotations

from dataclasses import dataclass, field
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from tlplug.contracts import UsageError
from tlplug.data.rows import quiet_datasets
from tlplug.data.table import FileTable, Table

if TYPE_CHECKING:
    from datasets import Dataset


class ParquetTable(FileTable):
    """A Parquet file."""

    def columns(self) -> list[str]:
        """The columns of the file's schema.

        Raises:
            UsageError: the file is not Parquet.
        """
        from pyarrow import ArrowException  # type: ignore[import-untyped]
        from pyarrow.parquet import read_schema  # type: ignore[import-untyped]

        try:
            return list(read_schema(self.path).names)
        except (ArrowException, OSError) as error:
            raise UsageError(f"{self.title} cannot be read as Parquet: {error}") from error

    def load(self, columns: list[str]) -> Dataset:
        """These columns, through the `parquet` builder of `datasets`."""
        with TemporaryDirectory() as cache:
            return quiet_datasets().Dataset.from_parquet(
                str(self.path), columns=columns, cache_dir=cache, keep_in_memory=True
            )


@dataclass(frozen=True, eq=False)
class HubTable(Table):
    """A split of a hub data set, in the cache of `datasets`."""

    source: str
    split: str
    dataset: Dataset = field(repr=False)

    @property
    def title(self) -> str:
        """The split and the data set's id."""
        return f"split '{self.split}' of {self.source}"

    def columns(self) -> list[str]:
        """The data set's columns."""
        return list(self.dataset.column_names)

    def load(self, columns: list[str]) -> Dataset:
        """The whole split; nothing is copied."""
        return self.dataset
