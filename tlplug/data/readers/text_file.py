"""Open text files, packed with gzip or not."""

from __future__ import annotations

import codecs
import gzip
import io
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tlplug.data.messages import shown_path
from tlplug.data.readers.formats import PACKED
from tlplug.errors import UsageError


@contextmanager
def open_text(path: Path) -> Iterator[io.TextIOWrapper]:
    """Open a file of UTF-8, whose lines end in a line feed. A byte order mark is dropped.

    Raises:
        UsageError: the file cannot be read or unpacked.
    """
    with _open_bytes(path) as file, io.TextIOWrapper(file, encoding="utf-8", newline="\n") as text:
        yield text


def undecodable_lines(path: Path) -> list[tuple[int, str]]:
    """Return number and problem of each line that is not UTF-8."""
    problems = []
    with _open_bytes(path) as file:
        for number, line in enumerate(file, start=1):
            try:
                line.decode()
            except UnicodeDecodeError as error:
                problems.append((number, f"byte {error.start + 1} is not UTF-8; save the file as UTF-8"))
    return problems


@contextmanager
def _open_bytes(path: Path) -> Iterator[io.BufferedReader | gzip.GzipFile]:
    """Open the unpacked bytes; an error that occurs while they are read becomes a `UsageError`."""
    try:
        with gzip.open(path) if path.name.lower().endswith(PACKED) else path.open("rb") as file:
            if file.peek(len(codecs.BOM_UTF8)).startswith(codecs.BOM_UTF8):
                file.read(len(codecs.BOM_UTF8))
            yield file
    except EOFError as error:
        raise UsageError(
            f"{shown_path(path)} is cut off: its gzip data has no end. Copy or pack it again."
        ) from error
    except (gzip.BadGzipFile, zlib.error) as error:
        raise UsageError(
            f"{shown_path(path)} cannot be unpacked as gzip: {error}. "
            f"Pack it again, or take {PACKED} off its name if it is not packed."
        ) from error
    except OSError as error:
        raise UsageError(f"{shown_path(path)} cannot be read: {error.strerror or error}.") from error
