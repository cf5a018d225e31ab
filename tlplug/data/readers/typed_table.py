"""Tables whose columns have types of their own: Parquet and Arrow files, and what `datasets` holds."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

from tlplug.data.messages import names
from tlplug.data.readers.arrow_store import as_dataset
from tlplug.data.readers.arrow_types import class_names
from tlplug.data.readers.table import ROWS, SIZE, FileTable, Table
from tlplug.errors import UsageError

if TYPE_CHECKING:
    from datasets import Dataset

_IPC_FILE = b"ARROW1"


class TypedTable(FileTable):
    """A file with a schema and a number of rows."""

    @cached_property
    def _head(self) -> tuple[Any, int]:
        """Schema and number of rows."""
        raise NotImplementedError

    def columns(self) -> list[str]:
        """The columns of the file's schema."""
        return list(self._head[0].names)

    def count(self) -> int:
        """How many rows the file says that it has."""
        return self._head[1]

    def classes(self) -> dict[str, list[str]]:
        """The names that `datasets` wrote into the file."""
        return class_names(self._head[0])

    def broken(self) -> list[str]:
        """That the file has no rows, or names a column twice; one that is not of its format is a `UsageError`."""
        columns = self.columns()
        if twice := sorted({name for name in columns if columns.count(name) > 1}):
            return [f"{self.title}: the file names a column twice: {names(twice)}"]
        return [] if self.count() else [f"{self.title}: the file has no rows"]

    def _sound(self, table: Any, format: str) -> Any:
        """The table, every value of which is one: what is damaged could end the process where it is read."""
        with self._readable(format):
            table.validate(full=True)
        return table

    @contextmanager
    def _readable(self, format: str) -> Iterator[None]:
        from pyarrow import ArrowException  # type: ignore[import-untyped]

        try:
            yield
        except (ArrowException, OSError, UnicodeDecodeError) as error:
            raise UsageError(f"{self.title} cannot be read as {format}: {error}") from error


class ParquetTable(TypedTable):
    """A Parquet file."""

    @cached_property
    def _head(self) -> tuple[Any, int]:
        from pyarrow.parquet import read_metadata  # type: ignore[import-untyped]

        with self._readable("Parquet"):
            found = read_metadata(self.path)
            return found.schema.to_arrow_schema(), found.num_rows

    def pieces(self, columns: list[str]) -> Iterator[Any]:
        """The rows, of which no more than a piece is in memory."""
        from pyarrow.parquet import ParquetFile

        with (
            self._readable("Parquet"),
            ParquetFile(self.path, buffer_size=SIZE, pre_buffer=False) as file,
        ):
            for batch in file.iter_batches(_rows_of_a_piece(file.metadata), columns=columns):
                yield _without_dictionaries(self._sound(batch, "Parquet"), columns)


class ArrowTable(TypedTable):
    """An Arrow file: the stream that `datasets` writes, or the file format (Feather 2)."""

    @cached_property
    def _head(self) -> tuple[Any, int]:
        table = self._mapped()
        return table.schema, table.num_rows

    def load(self, columns: list[str]) -> Dataset:
        """The rows, mapped from the file; nothing is copied."""
        table = self._sound(self._mapped().select(columns), "Arrow")
        if self._is_stream():
            return as_dataset(self.title, self._head[0].empty_table(), self.path)
        # `datasets` would hash the whole table to tell it from others.
        state = self.path.stat()
        name = f"{self.path.resolve()}-{state.st_size}-{state.st_mtime_ns}"
        fingerprint = hashlib.sha256(name.encode()).hexdigest()[:16]
        return as_dataset(self.title, table, fingerprint=fingerprint)

    def pieces(self, columns: list[str]) -> Iterator[Any]:
        """The rows, a part of the file at a time."""
        for batch in self._mapped().select(columns).to_batches(ROWS):
            yield _without_dictionaries(self._sound(batch, "Arrow"), columns)

    def _is_stream(self) -> bool:
        with self._readable("Arrow"), self.path.open("rb") as file:
            return file.read(len(_IPC_FILE)) != _IPC_FILE

    def _mapped(self) -> Any:
        import pyarrow as pa

        with self._readable("Arrow"):
            source = pa.memory_map(str(self.path))
            reader = pa.ipc.open_stream if self._is_stream() else pa.ipc.open_file
            table = reader(source).read_all()
            table.schema.names  # noqa: B018 (a damaged name is found here)
            return table


@dataclass(frozen=True, eq=False)
class DatasetTable(Table):
    """A split of a hub data set or of one that was saved to disk, mapped from the files of `datasets`."""

    source: str
    split: str
    dataset: Dataset = field(repr=False)

    @property
    def title(self) -> str:
        """The split, and the data set's id or folder."""
        return f"split '{self.split}' of {self.source}"

    def columns(self) -> list[str]:
        """The data set's columns."""
        return list(self.dataset.column_names)

    def load(self, columns: list[str]) -> Dataset:
        """The whole split; nothing is copied."""
        return self.dataset


def _rows_of_a_piece(metadata: Any) -> int:
    size = sum(metadata.row_group(index).total_byte_size for index in range(metadata.num_row_groups))
    return int(max(1, min(ROWS, SIZE * metadata.num_rows // max(size, 1))))


def _without_dictionaries(batch: Any, columns: list[str]) -> Any:
    """The batch as a table with these columns, in which a categorical column is what its categories are."""
    import pyarrow as pa

    table = pa.Table.from_batches([batch]).select(columns)
    fields = [
        field.with_type(field.type.value_type) if pa.types.is_dictionary(field.type) else field
        for field in table.schema
    ]
    return table.cast(pa.schema(fields, table.schema.metadata))
