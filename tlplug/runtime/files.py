"""Write files and folders atomically, and lock them."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import logging
import os
import platform
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tlplug.errors import UsageError

log = logging.getLogger(__name__)

ADDRESS = re.compile(r"(?!pkg://)[A-Za-z][A-Za-z0-9+.-]+:/")
"""`https://host`, or with the single slash that `Path` leaves of two; `pkg://` names an installed package."""


def refuse_address(key: str, value: str) -> None:
    """Raise a UsageError that names the key where its value is the address of a host."""
    if ADDRESS.match(value):
        raise UsageError(
            f"{key}: {value} is an address, and nothing is fetched from one. Download it, look at what it is, "
            "and name the file or the folder"
        )


def file_digest(path: Path) -> str:
    """Return the SHA-256 of a file, which may be larger than memory."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def atomic_cache_folder(folder: Path) -> Iterator[Path]:
    """Yield a temporary folder that becomes `folder` at the end, unless another process has created that meanwhile."""
    try:
        with atomic_folder(folder) as temporary:
            yield temporary
    except OSError as error:
        if error.errno not in NOT_EMPTY:
            raise


NOT_EMPTY = (errno.ENOTEMPTY, errno.EEXIST)
"""Errors of replacing a folder that is not empty."""


@contextmanager
def atomic_folder(folder: Path) -> Iterator[Path]:
    """Yield a temporary folder that is renamed to `folder` at the end, and removed after an error.

    Raises:
        OSError: the folder cannot be written, or (`NOT_EMPTY`) it exists and is not empty.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=".begun-", dir=folder.parent))
    try:
        yield temporary
        apply_umask(temporary)
        temporary.replace(folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def apply_umask(folder: Path) -> None:
    """Give a folder and its contents the default permissions; temporary ones are readable by their owner only."""
    mask = os.umask(0)
    os.umask(mask)
    folder.chmod(0o777 & ~mask)
    for path in folder.rglob("*"):
        path.chmod((0o777 if path.is_dir() else 0o666) & ~mask)


def atomic_write(path: Path, text: str, durable: bool = True) -> None:
    """Write a file completely or not at all; `durable` as in `atomic_file`."""
    with atomic_file(path, durable) as temporary:
        temporary.write_text(text, encoding="utf-8")


@contextmanager
def atomic_file(path: Path, durable: bool = True) -> Iterator[Path]:
    """Yield a temporary path in the same folder; the file written there replaces `path` at the end.

    Args:
        durable: wait until the file is on the disk, so that it survives a loss of power.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{platform.node()}.{os.getpid()}")
    try:
        yield temporary
        if durable:
            flush_to_disk(temporary)
        temporary.replace(path)
        if durable:
            flush_to_disk(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


def flush_to_disk(path: Path) -> None:
    """Wait until a file's contents, or a folder's entries, are on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


UNLOCKABLE = (errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP)
"""Errors of a file system without locks."""
NO_LOCKS = "%s is on a file system without locks: begin no second process on it"


def try_lock(descriptor: int, path: Path) -> bool:
    """Lock an open file, until all processes that inherit it have ended, and return whether that succeeded.

    On a file system without locks warn and return True.
    """
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        if not lacks_locks(error):
            raise
        log.warning(NO_LOCKS, path)
    return True


def lacks_locks(error: Exception) -> bool:
    """Return whether locking failed because the file system has no locks; filelock 3 raises an error of its own then."""
    return isinstance(error, NotImplementedError) or getattr(error, "errno", None) in UNLOCKABLE


@contextmanager
def file_lock(path: Path) -> Iterator[None]:
    """Hold a file's lock, so that processes that would create the file do so one after another.

    Where the disk has no locks or is not writable, no process waits.
    """
    from filelock import FileLock

    lock = FileLock(path.with_name(f".{path.name}.lock"))
    try:
        lock.acquire()
    except (OSError, NotImplementedError) as error:
        log.debug("%s has no lock: %s", path, error)
    try:
        yield
    finally:
        lock.release()
