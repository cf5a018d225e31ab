"""An Arrow stream in a temporary file."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

from tlplug.errors import UsageError


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
