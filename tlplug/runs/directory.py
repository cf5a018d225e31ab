"""Create, lock, read and write the folder of a run. An existing run is never overwritten."""

from __future__ import annotations

import errno
import json
import logging
import os
import secrets
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from tlplug.config.job import Job
from tlplug.errors import UsageError
from tlplug.interfaces.registry import describe_plugins
from tlplug.runtime.files import NOT_EMPTY, atomic_folder, atomic_write, refuse_address, try_lock
from tlplug.runtime.secrets import redact, redact_overrides

log = logging.getLogger(__name__)

OUTPUTS = Path("outputs")
CONFIG, RESULT, RUN = "config.yaml", "result.json", "run.json"
PAGE, MARKDOWN = "report.html", "report.md"
PROGRESS, LOG = "progress.json", "log.txt"
PATIENCE = 1.0
"""Seconds to wait for the lock of a run: `is_held` takes it for a moment."""
RUN_VERSION = 1
HEAD, HEAD_VERSION = "head.json", 1


def choose(run_dir: str | None, *names: str) -> Path:
    """Return the folder for a new run, not created yet: `run_dir`, or outputs/<names>/<time>-<id>.

    Raises:
        UsageError: `run_dir` exists and is not an empty folder.
    """
    if run_dir is None:
        return OUTPUTS.joinpath(*names, stamp())
    path = Path(run_dir).expanduser()
    expect_empty(path, f"run_dir={run_dir}")
    return path


def choose_or_go_on(run_dir: str | None, config: str, ends_with: str, *names: str) -> Path:
    """Return the folder for work that can be resumed: `run_dir` may hold unfinished work with the same config.

    Args:
        config: text of the resolved config, compared with config.yaml in `run_dir`.
        ends_with: name of the file that is written last.

    Raises:
        UsageError: `run_dir` holds anything else.
    """
    if run_dir is not None:
        folder = Path(run_dir).expanduser()
        begun = folder / CONFIG
        same = begun.is_file() and begun.read_text(encoding="utf-8") == config
        if same and not (folder / ends_with).exists():
            return folder
    return choose(run_dir, *names)


def create(folder: Path, config: str, **record: Any) -> None:
    """Create the run directory with its resolved config in config.yaml and `record` in run.json.

    Where the folder can be put in place as a whole, both files are written or neither.

    Raises:
        UsageError: the folder exists and is not empty.
    """
    try:
        with atomic_folder(folder) as beside:
            write_begin(beside, config, record)
    except OSError as error:
        if error.errno in NOT_EMPTY:
            raise UsageError(f"{folder}: something lies there already; name a new folder") from error
        if not folder.is_dir() or error.errno not in FIXED:
            raise
        write_begin(folder, config, record)


FIXED = (errno.EBUSY, errno.ENOTDIR, errno.EXDEV, errno.EINVAL)
"""Error codes where an empty folder cannot be replaced: it is a mount point, a link or the working directory."""


def write_begin(folder: Path, config: str, record: Mapping[str, Any]) -> None:
    atomic_write(folder / CONFIG, config)
    write_json(folder / RUN, {"version": RUN_VERSION, **record})


def begun(folder: Path) -> dict[str, Any]:
    """Return run.json of a run, as `create` wrote it.

    Raises:
        UsageError: the folder holds no run.json, or one that this version cannot read.
    """
    path = folder / RUN
    refuse_address("RUN", str(folder))
    if not folder.exists():
        raise UsageError(f"there is no run directory {folder}")
    if not path.is_file():
        raise UsageError(f"{folder} holds no {RUN}: no run was begun there that could be gone on with")
    record = read_object(path)
    if record.get("version") != RUN_VERSION:
        raise UsageError(f"{path} is not one that this tlplug reads (version {RUN_VERSION})")
    overrides = record.get("overrides")
    if not (isinstance(overrides, list) and all(isinstance(word, str) for word in overrides)):
        raise UsageError(f"{path}: its overrides are not a list of texts")
    return record


def recorded(folder: Path) -> dict[str, Any]:
    """Return run.json, or result.json where an older run has no run.json; empty where neither exists."""
    for path in (folder / RUN, folder / RESULT):
        if path.is_file():
            return read_object(path)
    return {}


def read_object(path: Path) -> dict[str, Any]:
    """Return the JSON object in a file.

    Raises:
        UsageError: the file is not JSON, or its value is not an object.
    """
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise UsageError(f"{path} cannot be read: {error}") from error
    if not isinstance(found, dict):
        raise UsageError(f"{path} cannot be read: it holds no object")
    return found


@contextmanager
def held(folder: Path, patience: float = PATIENCE) -> Iterator[None]:
    """Lock the run in `folder` for this process; the kernel releases the lock when the process dies.

    Args:
        patience: seconds to wait for the lock.

    Raises:
        UsageError: another process still holds the lock.
    """
    until = time.monotonic() + patience
    with (folder / RUN).open() as file:
        while not try_lock(file.fileno(), folder):
            if time.monotonic() >= until:
                raise UsageError(f"another process works on the run in {folder}; it is left to that one")
            time.sleep(0.1)
        yield


def is_held(folder: Path) -> bool:
    """Return whether a process holds the lock of the run."""
    try:
        with held(folder, patience=0):
            return False
    except UsageError:
        return True


def expect_empty(path: Path, named: str) -> None:
    """Raise an error unless `path` is an empty folder or does not exist.

    Args:
        named: the folder as the user typed it, for the message.
    """
    if path.exists() and not (path.is_dir() and not any(path.iterdir())):
        raise UsageError(f"{named}: something lies there already; name a new folder")


def expect_writable(folder: Path) -> None:
    """Raise an error where a folder exists and is not writable; called before anything expensive is computed."""
    if folder.is_dir() and not os.access(folder, os.W_OK):
        raise UsageError(f"{folder} may not be written to, and what is found out goes into it; copy it first")


def stamp() -> str:
    """Return a folder name `<time>-<id>` with a random id."""
    return f"{datetime.now().strftime('%Y-%m-%d_%H-%M-%S')}-{secrets.token_hex(2)}"


def write_json(path: Path, value: Any, durable: bool = True) -> None:
    atomic_write(path, json.dumps(value, indent=2, ensure_ascii=False) + "\n", durable)


def write_lines(path: Path, rows: list[dict[str, Any]]) -> None:
    atomic_write(path, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))


def write_head(folder: Path, state: Mapping[str, Any]) -> None:
    """Write head.json: the state that the head learned from the data, such as its labels."""
    write_json(folder / HEAD, {"version": HEAD_VERSION, "state": dict(state)})


@contextmanager
def logged(path: Path) -> Iterator[None]:
    """Append the log of tlplug, plugins and Lightning to `path`, with the traceback where the run fails."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handler = logging.FileHandler(path, encoding="utf-8")
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    # Plugins log under the names of their own packages, so the root needs the handler; Lightning does not propagate to it.
    loggers = [logging.getLogger(), logging.getLogger("lightning.pytorch")]
    for logger in loggers:
        logger.addHandler(handler)
    own = logging.getLogger("tlplug")
    level = own.level
    own.setLevel(logging.INFO)
    try:
        yield
    except BaseException:
        logging.getLogger("tlplug").exception("the run did not finish")
        raise
    finally:
        own.setLevel(level)
        for logger in loggers:
            logger.removeHandler(handler)
        handler.close()


SWEEP_VARIABLE = "TLPLUG_SWEEP"
"""Environment variable with the name of the sweep, by which loggers group its jobs."""


def begin(job: Job, folder: Path) -> None:
    """Create the run directory with the config, overrides and plugins of the job; secrets are removed."""
    config = OmegaConf.to_yaml(OmegaConf.create(redact(job.config)))
    overrides = redact_overrides(job.typed)
    create(folder, config, overrides=overrides, plugins=describe_plugins(job.plugins))


def finished(folder: Path) -> bool:
    """Return whether a run has its result and report and its progress.json has been removed."""
    there = all((folder / name).is_file() for name in (RESULT, PAGE))
    return there and not (folder / PROGRESS).exists()
