"""Results that later runs can use again, by a hash of all that determines them."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import tempfile
from collections.abc import Callable, Iterator, Mapping
from datetime import date, time, timedelta
from decimal import Decimal
from enum import Enum
from functools import partial
from pathlib import Path, PurePath
from typing import Any, TypeVar
from uuid import UUID

from tlplug.runtime.files import atomic_file

T = TypeVar("T")

log = logging.getLogger(__name__)


def cache_folder() -> Path:
    """$TLPLUG_CACHE, else $XDG_CACHE_HOME/tlplug, else ~/.cache/tlplug."""
    own = os.environ.get("TLPLUG_CACHE")
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(own) if own else Path(home) / "tlplug"


def key_of(parts: dict[str, Any]) -> str:
    """Return SHA-256 of the parts."""
    return hashlib.sha256(canonical_bytes(parts)).hexdigest()


def canonical_bytes(value: Any) -> bytes:
    """Return bytes that are the same for the same value in every process, and others for another value.

    JSON types, numpy arrays, torch tensors, pictures of PIL, bytes, dates, enums, and dicts, lists and sets of these.

    Raises:
        TypeError: something else is in it, whose text may change from process to process.
    """
    try:
        return b"json" + json.dumps(value, sort_keys=True).encode()
    except TypeError:
        return b"".join(_encoded(value))


def _encoded(value: Any) -> Iterator[bytes]:
    """Yield a value's type, its size and its content."""
    if isinstance(value, Mapping):
        items = sorted((b"".join(_encoded(name)), each) for name, each in value.items())
        parts = [part for name, each in items for part in (name, *_encoded(each))]
    elif isinstance(value, list | tuple):
        parts = [part for each in value for part in _encoded(each)]
    elif isinstance(value, set | frozenset):
        parts = sorted(b"".join(_encoded(each)) for each in value)
    else:
        parts = [_content(value)]
    content = b"".join(parts)
    yield f"{type(value).__module__}.{type(value).__qualname__} {len(content)} ".encode()
    yield content


SPELLED = (date, time, timedelta, Decimal, PurePath, UUID, range)
"""Types whose `repr` is all that a value of theirs is."""


def _content(value: Any) -> bytes:
    """Return the content of a value that holds no others."""
    import numpy as np

    if isinstance(value, bytes | bytearray | memoryview):
        return bytes(value)
    if value is None or type(value) in (bool, int, float, str):
        return json.dumps(value).encode()
    if isinstance(value, Enum):
        return value.name.encode()
    if isinstance(value, SPELLED) or (type(value).__module__ == "torch" and type(value).__name__ == "dtype"):
        return repr(value).encode()
    if isinstance(value, np.ndarray | np.generic):
        return _of_array(np.asarray(value))
    return _of_foreign(value)


def _of_array(array: Any) -> bytes:
    if array.dtype.hasobject:
        return b"".join(_encoded(array.tolist()))
    content: bytes = array.tobytes()
    return f"{array.dtype.str}{array.shape}".encode() + content


def _of_foreign(value: Any) -> bytes:
    """Return the content of a tensor, a picture or a sound, known by their methods: the libraries are slow to import."""
    if hasattr(value, "detach"):
        return _of_array(value.detach().cpu().float().numpy()) + str(value.dtype).encode()
    if hasattr(value, "tobytes") and hasattr(value, "getpalette"):
        pixels: bytes = value.tobytes()
        return f"{value.mode}{value.size}{value.getpalette()}".encode() + pixels
    if hasattr(value, "get_all_samples"):
        samples = value.get_all_samples()
        return _of_foreign(samples.data) + str(samples.sample_rate).encode()
    kind = f"{type(value).__module__}.{type(value).__qualname__}"
    raise TypeError(f"a value of type {kind} cannot be part of a cache key")


def read(kind: str, key: str) -> Any | None:
    """Return the stored JSON value; None where there is none that can be read."""
    return load_file(
        cache_folder() / kind / f"{key}.json", lambda path: json.loads(path.read_text(encoding="utf-8"))
    )


def write(kind: str, key: str, value: Any) -> None:
    """Store a JSON value, so that it survives a loss of power."""
    path = cache_folder() / kind / f"{key}.json"
    save_file(path, lambda temporary: temporary.write_text(json.dumps(value), encoding="utf-8"), durable=True)


def get_or_compute(
    path: Path, compute: Callable[[], T], read_from: Callable[[Path], T], write_to: Callable[[T, Path], Any]
) -> T:
    """Return what a file of the cache holds; where there is none that can be read, compute it and write the file."""
    stored = load_file(path, read_from)
    if stored is not None:
        log.info("%s is from an earlier run", path)
        return stored
    value = compute()
    save_file(path, partial(write_to, value))
    return value


def load_file(path: Path, read_from: Callable[[Path], T]) -> T | None:
    """Read a file of the cache. Return None where there is none, or a damaged one, which a warning reports.

    Args:
        read_from: raises a ValueError, an EOFError or an OSError where the file is damaged.
    """
    if not path.is_file():
        return None
    try:
        return read_from(path)
    except (ValueError, EOFError, OSError) as error:
        log.warning("%s is damaged (%s); it is made again", path, error)
        return None


def save_file(path: Path, write_to: Callable[[Path], Any], durable: bool = False) -> None:
    """Write a file of the cache atomically. A cache that is not writable costs time later, not this run."""
    try:
        with atomic_file(path, durable) as temporary:
            write_to(temporary)
    except OSError as error:
        warn_unwritable(path, error)


def writable_path(path: Path) -> Path:
    """Return the path; where its folder is not writable, that of a temporary file."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path.parent):
            return path
    except OSError as error:
        warn_unwritable(path, error)
    descriptor, name = tempfile.mkstemp(suffix=path.suffix)
    os.close(descriptor)
    return Path(name)


def warn_unwritable(path: Path, error: Exception) -> None:
    log.warning("%s cannot be written (%s); the next run makes it again", path, error)
