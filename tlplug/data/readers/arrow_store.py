"""Rows that come in pieces become one `Dataset`: in memory where they are small, else mapped from a file."""

from __future__ import annotations

import tempfile
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tlplug.data.readers.arrow_types import column_as, features_of, fits, quiet_datasets, wider
from tlplug.errors import UsageError

if TYPE_CHECKING:
    from datasets import Dataset


class ArrowFile:
    """Tables of one schema, written one after another. The file is there until the process ends.

    Raises:
        UsageError: the folder for temporary files has no room.
    """

    def __init__(self, schema: Any) -> None:
        import pyarrow as pa  # type: ignore[import-untyped]

        with _room():
            handle, name = tempfile.mkstemp(suffix=".arrow", dir=_folder().name)
            self.file = open(handle, "wb")  # noqa: PTH123, SIM115
            self.writer = pa.ipc.new_stream(self.file, schema)
        self.path = Path(name)

    def write(self, table: Any) -> None:
        """Append the rows of a `pyarrow.Table`."""
        with _room():
            self.writer.write_table(table)

    def close(self) -> None:
        """Nothing is written after this."""
        with _room():
            self.writer.close()
            self.file.close()

    def tables(self) -> Iterator[Any]:
        """What was written before it was closed, a part at a time."""
        import pyarrow as pa

        with pa.OSFile(str(self.path)) as file:
            for batch in pa.ipc.open_stream(file):
                yield pa.Table.from_batches([batch])

    def remove(self) -> None:
        """Delete the file."""
        self.path.unlink()


@cache
def _folder() -> tempfile.TemporaryDirectory[str]:
    """Where this process keeps its files."""
    return tempfile.TemporaryDirectory(prefix="tlplug-rows-")


@contextmanager
def _room() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise UsageError(
            f"rows cannot be kept in {tempfile.gettempdir()} ({error.strerror or error}). "
            "Large data takes as much room there as it has; set TMPDIR to a folder with enough."
        ) from error


LARGE = 2**26
"""Bytes of a data file, or of the rows that it unpacks to, from which they lie in a temporary file and not in
memory."""


def hold(pieces: Iterable[Any], title: str, place: Callable[[int], str], expected: int = 0) -> Dataset:
    """The rows of all pieces, with types that hold the values of each.

    Args:
        pieces: `pyarrow.Table`s of the same columns in the same order.
        title: the table as a person calls it.
        place: position of a row -> where that is.
        expected: bytes that it is going to be, as far as that is known.

    Raises:
        UsageError: a value does not go with those before it, or there is no room for the rows.
    """
    store = _Store(place, expected)
    for piece in pieces:
        store.add(piece)
    return store.dataset(title)


def as_dataset(title: str, table: Any, path: Path | None = None, **more: Any) -> Dataset:
    """The Arrow table, or the stream of its types that lies at `path`, which is mapped and not read.

    Raises:
        UsageError: `datasets` has no such types.
    """
    datasets = quiet_datasets()
    try:
        info = datasets.DatasetInfo(features=features_of(table.schema))
        if path:
            return datasets.Dataset.from_file(str(path), info=info)
        return datasets.Dataset(table, info=info, **more)
    except (ValueError, NotImplementedError, TypeError, KeyError, AttributeError) as error:
        # What the file says of its columns may be of any form.
        raise UsageError(f"{title} has a column that cannot be used: {error}") from error


class _Store:
    """What has come so far. All of it has the types of `schema`."""

    def __init__(self, place: Callable[[int], str], expected: int) -> None:
        self.place = place
        self.schema: Any = None
        self.count = 0
        self.held: list[Any] = []
        self.size = expected
        self.file: ArrowFile | None = None

    def add(self, piece: Any) -> None:
        """One more piece; where its values need wider types, what has come before gets them too."""
        import pyarrow as pa

        if self.schema is None:
            self.schema = piece.schema
        fields = [self._wider(known, piece) for known in self.schema]
        schema = pa.schema(fields, self.schema.metadata)
        if schema != self.schema:
            self._retype(schema, piece)
        self._keep(self._typed(piece, schema, piece))
        self.count += len(piece)

    def dataset(self, title: str) -> Dataset:
        """All rows."""
        import pyarrow as pa

        if self.file:
            self.file.close()
            return as_dataset(title, self.schema.empty_table(), self.file.path)
        return as_dataset(title, pa.concat_tables(self.held) if self.held else pa.table({}))

    def _keep(self, table: Any) -> None:
        if self.file:
            self.file.write(table)
            return
        self.held.append(table)
        self.size += table.nbytes
        if self.size > LARGE:
            self.file = ArrowFile(self.schema)
            for kept in self.held:
                self.file.write(kept)
            self.held.clear()

    def _retype(self, schema: Any, piece: Any) -> None:
        """Give what has come before the types of `schema`, which `piece` needs."""
        self.held = [self._typed(table, schema, piece) for table in self.held]
        if old := self.file:
            old.close()
            self.file = ArrowFile(schema)
            for table in old.tables():
                self.file.write(self._typed(table, schema, piece))
            old.remove()
        self.schema = schema

    def _wider(self, known: Any, piece: Any) -> Any:
        import pyarrow as pa

        try:
            return wider(known, piece.schema.field(known.name))
        except pa.ArrowException as error:
            raise self._misfit(known, piece, error) from error

    def _typed(self, table: Any, schema: Any, piece: Any) -> Any:
        import pyarrow as pa

        columns = []
        for field in schema:
            try:
                columns.append(column_as(table.column(field.name), field.type))
            except pa.ArrowException as error:
                raise self._misfit(self.schema.field(field.name), piece, error) from error
        return pa.table(columns, schema=schema)

    def _misfit(self, known: Any, piece: Any, error: Exception) -> UsageError:
        values = piece.column(known.name).to_pylist()
        row = bisect_left(range(1, len(values)), True, key=lambda count: not fits(values[:count], known))
        return UsageError(
            f'{self.place(self.count + row)}: "{known.name}" has a value that does not go with those of the '
            f"rows before it; a column has one type ({error})"
        )
