"""Write files and folders atomically, and lock them."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import logging
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tlplug.errors import UsageError

log = logging.getLogger(__name__)


ADDRESS = re.compile(r"(?!pkg://)[A-Za-z][A-Za-z0-9+.-]+:/")
"""`https://host`, also with the one slash that `Path` leaves of two; `pkg://` is a package that is installed."""


def refuse_address(named: str, value: str) -> None:
    """Raise where `value`, which the user named by `named`, is an address.

    Raises:
        UsageError: it is one.
    """
    if ADDRESS.match(value):
        raise UsageError(
            f"{named}: {value} is an address, and nothing is fetched from one. Download it, look at what it is, "
            "and name the file or the folder"
        )


def file_digest(path: Path) -> str:
    """SHA-256 of a file, which may be larger than memory."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


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


UNLOCKABLE = (errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP)
"""What a file system says that has no locks."""


def lock(opened: int, told: Path) -> bool:
    """Whether the file's lock is ours now. A file system without locks guards nothing, and a warning says so."""
    try:
        fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno not in UNLOCKABLE:
            raise
        log.warning("%s lies on a file system without locks: begin no second process on it", told)
    return True


@contextmanager
def one_at_a_time(path: Path) -> Iterator[None]:
    """Of processes that would make the same file, one does, and the others come after it.

    Where the disk has no locks, or may not be written to, nobody waits.
    """
    import fcntl

    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = path.with_name(f".{path.name}.lock").open("w")
    except OSError as error:
        log.debug("%s has no lock: %s", path, error)
        yield
        return
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
        except OSError as error:
            log.debug("%s has no lock: %s", path, error)
        yield
