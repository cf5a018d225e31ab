"""Tables whose columns have types of their own: Parquet files and hub data sets."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from glob import escape
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from tlplug.contracts import UsageError
from tlplug.data.rows import quiet_datasets
from tlplug.data.table import FileTable, Table

if TYPE_CHECKING:
    from datasets import Dataset


class ParquetTable(FileTable):
    """A Parquet file."""

    @cached_property
    def _metadata(self) -> Any:
        from pyarrow import ArrowException  # type: ignore[import-untyped]
        from pyarrow.parquet import read_metadata  # type: ignore[import-untyped]

        try:
            return read_metadata(self.path)
        except (ArrowException, OSError) as error:
            raise UsageError(f"{self.title} cannot be read as Parquet: {error}") from error

    def columns(self) -> list[str]:
        """The columns of the file's schema."""
        return list(self._metadata.schema.to_arrow_schema().names)

    def broken(self) -> list[str]:
        """That the file has no rows; one that is not Parquet is a `UsageError`."""
        return [] if self._metadata.num_rows else [f"{self.title}: the file has no rows"]

    def load(self, columns: list[str]) -> Dataset:
        """These columns, through the `parquet` builder of `datasets`."""
        with TemporaryDirectory() as cache:
            return quiet_datasets().Dataset.from_parquet(
                escape(str(self.path)), columns=columns, cache_dir=cache, keep_in_memory=True
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
