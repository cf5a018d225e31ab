"""The text in a file, packed with gzip or not."""

from __future__ import annotations

import codecs
import gzip
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, cast

from tlplug.data.messages import shown_path
from tlplug.data.readers.formats import PACKED
from tlplug.errors import UsageError

PIECE = 2**20
"""Bytes that `decoded_pieces` reads at a time."""


def decoded_lines(path: Path) -> Iterator[tuple[str, str | None]]:
    """Each line's text and, where its bytes are not UTF-8, the problem. A byte order mark is dropped.

    Raises:
        UsageError: the file cannot be read or unpacked.
    """
    with _opened(path) as file:
        for number, raw in enumerate(file):
            line = raw.removeprefix(codecs.BOM_UTF8) if number == 0 else raw
            try:
                yield line.decode(), None
            except UnicodeDecodeError as error:
                problem = f"byte {error.start + 1} is not UTF-8; save the file as UTF-8"
                yield line.decode(errors="replace"), problem


def decoded_pieces(path: Path, errors: str = "strict") -> Iterator[str]:
    """The text without regard to lines, however long they are. A byte order mark is dropped.

    Raises:
        UsageError: the file cannot be read or unpacked.
        UnicodeDecodeError: bytes are not UTF-8, and `errors` is `strict`.
    """
    decoder = codecs.getincrementaldecoder("utf-8-sig")(errors)
    with _opened(path) as file:
        while raw := file.read(PIECE):
            yield decoder.decode(raw)
    yield decoder.decode(b"", final=True)


@contextmanager
def _opened(path: Path) -> Iterator[IO[bytes]]:
    """The unpacked bytes; what goes wrong with them while they are read is a `UsageError`."""
    try:
        packed = path.name.lower().endswith(PACKED)
        with cast(IO[bytes], gzip.open(path) if packed else path.open("rb")) as file:
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
