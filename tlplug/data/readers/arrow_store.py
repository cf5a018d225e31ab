"""Make one `Dataset` of rows that come in pieces: in memory where they are small, else mapped from a file."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from tlplug.data.readers.arrow_types import features_of, quiet_datasets
from tlplug.errors import UsageError

if TYPE_CHECKING:
    from datasets import Dataset

LARGE = 2**26
"""Bytes of a data file, or of the rows that it unpacks to, from which they lie in a temporary file and not in
memory."""


def store(pieces: Iterable[Any], schema: Any, title: str, expected: int = 0) -> Dataset:
    """Return the rows of all pieces. A temporary file with them is there until the process ends.

    Args:
        pieces: `pyarrow.Table`s of the schema.
        title: the table as a person calls it.
        expected: bytes that the rows are going to take, as far as that is known.

    Raises:
        UsageError: there is no room for the rows, or `datasets` has no such types.
    """
    import pyarrow as pa  # type: ignore[import-untyped]

    pieces, held, size = iter(pieces), list[Any](), expected
    while size <= LARGE:
        if (piece := next(pieces, None)) is None:
            return as_dataset(title, pa.concat_tables(held) if held else schema.empty_table())
        held.append(piece)
        size += piece.nbytes
    with _room():
        path = Path(temporary_folder(), f"{uuid4().hex}.arrow")
        with path.open("wb") as file, pa.ipc.new_stream(file, schema) as writer:
            while held:
                writer.write_table(held.pop(0))
            for piece in pieces:
                writer.write_table(piece)
    return as_dataset(title, schema.empty_table(), path)


def as_dataset(title: str, table: Any, path: Path | None = None) -> Dataset:
    """Return the Arrow table, or the stream of its types that lies at `path`, which is mapped and not read.

    Raises:
        UsageError: `datasets` has no such types.
    """
    datasets = quiet_datasets()
    try:
        info = datasets.DatasetInfo(features=features_of(table.schema))
        if path:
            return datasets.Dataset.from_file(str(path), info=info)
        # Without a fingerprint, `datasets` hashes the whole table.
        return datasets.Dataset(table, info=info, fingerprint=uuid4().hex)
    except (ValueError, NotImplementedError, TypeError, KeyError, AttributeError, RecursionError) as error:
        # What the file says of its columns may be of any form; lists in lists can be too deep.
        raise UsageError(f"{title} has a column that cannot be used: {error}") from error


@cache
def _directory() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(prefix="tlplug-rows-")


def temporary_folder() -> str:
    """Return the folder of this process's files; it is deleted when the process ends."""
    return _directory().name


@contextmanager
def _room() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise UsageError(
            f"rows cannot be kept in {tempfile.gettempdir()} ({error.strerror or error}). "
            "Large data takes as much room there as it has; set TMPDIR to a folder with enough."
        ) from error
