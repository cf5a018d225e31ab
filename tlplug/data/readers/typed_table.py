"""Read Parquet and Arrow files, whose columns have types of their own."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from typing import TYPE_CHECKING, Any

from tlplug.data.messages import names
from tlplug.data.readers.arrow_store import as_dataset
from tlplug.data.readers.arrow_types import Columns
from tlplug.data.readers.formats import ROWS, SIZE, DataFile
from tlplug.errors import UsageError

if TYPE_CHECKING:
    from datasets import Dataset


class TypedTable(DataFile):
    """A file with a schema and a number of rows."""

    format = ""

    @cached_property
    def _summary(self) -> tuple[Any, int]:
        """Schema and number of rows."""
        raise NotImplementedError

    def _batches(self, columns: list[str]) -> Iterator[Any]:
        raise NotImplementedError

    @property
    def metadata(self) -> dict[bytes, bytes] | None:
        """What `datasets` wrote into the file."""
        return self._summary[0].metadata  # type: ignore[no-any-return]

    def columns(self) -> list[str]:
        """Return the columns of the file's schema."""
        return list(self._summary[0].names)

    def count(self) -> int:
        """Return the number of rows that the file says it has."""
        return self._summary[1]

    def place(self, row: int) -> str:
        """Return the row's number."""
        return f"{self.title}, row {row + 1}"

    def types(self, column: str) -> dict[Any, str]:
        """Return the column's type -> the first row; that of a categorical column is the type of its categories."""
        from pyarrow.types import is_dictionary  # type: ignore[import-untyped]

        type = self._summary[0].field(column).type
        return {type.value_type if is_dictionary(type) else type: self.place(0)}

    def broken(self) -> list[str]:
        """Return that the file has no rows, or names a column twice.

        Raises:
            UsageError: it is not of its format.
        """
        columns = self.columns()
        if twice := sorted({name for name in columns if columns.count(name) > 1}):
            return [f"{self.title}: the file names a column twice: {names(twice)}"]
        return [] if self.count() else [f"{self.title}: the file has no rows"]

    def pieces(self, columns: Columns) -> Iterator[Any]:
        """Yield the rows as `pyarrow.Table`s, all values checked: a damaged one could end the process."""
        start = 0
        with self._readable():
            for batch in self._batches(columns.schema.names):
                batch.validate(full=True)
                yield columns.table(batch, self.place, start)
                start += len(batch)

    @contextmanager
    def _readable(self) -> Iterator[None]:
        from pyarrow import ArrowException  # type: ignore[import-untyped]

        try:
            yield
        except (ArrowException, OSError, UnicodeDecodeError) as error:
            raise UsageError(f"{self.title} cannot be read as {self.format}: {error}") from error


class ParquetTable(TypedTable):
    """A Parquet file."""

    format = "Parquet"

    @cached_property
    def _summary(self) -> tuple[Any, int]:
        from pyarrow.parquet import read_metadata  # type: ignore[import-untyped]

        with self._readable():
            metadata = read_metadata(self.path)
            return metadata.schema.to_arrow_schema(), metadata.num_rows

    def _batches(self, columns: list[str]) -> Iterator[Any]:
        from pyarrow.parquet import ParquetFile

        with ParquetFile(self.path, buffer_size=SIZE, pre_buffer=False) as file:
            groups = map(file.metadata.row_group, range(file.metadata.num_row_groups))
            size = max(1, sum(group.total_byte_size for group in groups))
            rows = max(1, min(ROWS, SIZE * file.metadata.num_rows // size))
            yield from file.iter_batches(rows, columns=columns)


class ArrowTable(TypedTable):
    """An Arrow file: the stream that `datasets` writes, or the file format (Feather 2)."""

    format = "Arrow"

    @cached_property
    def _summary(self) -> tuple[Any, int]:
        table = self._open()
        return table.schema, table.num_rows

    def _batches(self, columns: list[str]) -> Iterator[Any]:
        yield from self._open().select(columns).to_batches(ROWS)

    def map(self, columns: list[str]) -> Dataset:
        """Return the rows, mapped from the file; nothing is copied."""
        table = self._open().select(columns)
        with self._readable():
            table.validate(full=True)
        if self._is_stream():
            return as_dataset(self.title, self._summary[0].empty_table(), self.path).select_columns(columns)
        return as_dataset(self.title, table)

    def _is_stream(self) -> bool:
        with self._readable(), self.path.open("rb") as file:
            return file.read(6) != b"ARROW1"

    def _open(self) -> Any:
        import pyarrow as pa

        with self._readable():
            source = pa.memory_map(str(self.path))
            reader = pa.ipc.open_stream if self._is_stream() else pa.ipc.open_file
            table = reader(source).read_all()
            table.schema.names  # noqa: B018 (a damaged name is an error here)
            return table
