"""Results that later runs can use again, by a hash of all that determines them."""

from __future__ import annotations

import errno
import hashlib
import json
import logging
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

log = logging.getLogger(__name__)


def cache_folder() -> Path:
    """$TLPLUG_CACHE, else $XDG_CACHE_HOME/tlplug, else ~/.cache/tlplug."""
    own = os.environ.get("TLPLUG_CACHE")
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(own) if own else Path(home) / "tlplug"


def key_of(parts: dict[str, Any]) -> str:
    """SHA-256 of the parts as canonical JSON."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()


def file_digest(path: Path) -> str:
    """SHA-256 of a file, which may be larger than memory."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def read(kind: str, key: str) -> Any | None:
    """The stored JSON value; None where there is none. A damaged entry is reported and made again."""
    path = cache_folder() / kind / f"{key}.json"
    if not path.is_file():
        return None
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        log.warning("%s is damaged (%s); it is made again", path, error)
        return None


def write(kind: str, key: str, value: Any) -> None:
    """Store a JSON value. A cache that cannot be written to costs time later, not this run."""
    path = cache_folder() / kind / f"{key}.json"
    try:
        write_whole(path, json.dumps(value))
    except OSError as error:
        log.warning("%s cannot be written (%s); the next run makes it again", path, error)


@contextmanager
def whole_folder(folder: Path) -> Iterator[Path]:
    """A folder of the cache to write into, `folder` once all is written; where another process was faster, its own."""
    try:
        with new_folder(folder) as beside:
            yield beside
    except OSError as error:
        if error.errno not in TAKEN:
            raise


TAKEN = (errno.ENOTEMPTY, errno.EEXIST)
"""What a folder cannot be put in the place of: one that holds something."""


@contextmanager
def new_folder(folder: Path) -> Iterator[Path]:
    """A folder to write into, which is `folder` once all is written; nothing is left otherwise.

    Raises:
        OSError: it cannot be written, or (`TAKEN`) something lies there.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    beside = Path(tempfile.mkdtemp(prefix=".begun-", dir=folder.parent))
    try:
        yield beside
        open_to_others(beside)
        beside.replace(folder)
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def open_to_others(folder: Path) -> None:
    """As open as what is made in the ordinary way; temporary folders and some files are for their owner alone."""
    mask = os.umask(0)
    os.umask(mask)
    folder.chmod(0o777 & ~mask)
    for path in folder.rglob("*"):
        path.chmod((0o777 if path.is_dir() else 0o666) & ~mask)


def write_whole(path: Path, text: str, lasting: bool = True) -> None:
    """All of the file or nothing; `lasting` as of `whole_file`."""
    with whole_file(path, lasting) as beside:
        beside.write_text(text, encoding="utf-8")


@contextmanager
def whole_file(path: Path, lasting: bool = True) -> Iterator[Path]:
    """A file to write, which takes the place of `path` once all is written: beside, synced, renamed.

    Args:
        lasting: whether it has to outlast a loss of power; what is soon written again need not wait for the disk.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        yield beside
        if lasting:
            sync(beside)
        beside.replace(path)
        if lasting:
            sync(path.parent)
    finally:
        beside.unlink(missing_ok=True)


def sync(path: Path) -> None:
    """What was written lies on the disk, and outlasts a loss of power; of a folder, the names in it."""
    opened = os.open(path, os.O_RDONLY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)
