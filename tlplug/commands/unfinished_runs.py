"""Find the unfinished run of a config, for `resume=auto`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import OmegaConf

from tlplug.config.choices import PLACE_KEYS
from tlplug.config.job import Job
from tlplug.errors import UsageError
from tlplug.runs import directory as run_directory
from tlplug.runs.directory import finished
from tlplug.runtime.secrets import redact

if TYPE_CHECKING:
    from rich.console import Console


def resume_or_begin(job: Job, console: Console) -> int:
    """Resume the unfinished run of the same config, or start a new one; leave a finished run unchanged.

    Raises:
        UsageError: `run_dir` has another run, or it is not set and there are several processes.
    """
    from tlplug.runs.launch import processes_of

    if job.run_dir is None and processes_of(job.trainer) > 1:
        raise UsageError(
            "resume=auto with several processes: name the folder (run_dir=...), so that all of them know it"
        )
    folder = unfinished(job)
    if folder is not None and finished(folder):
        console.print(f"{folder} has finished: nothing is left to do", markup=False, soft_wrap=True)
        return 0
    from tlplug.runs.run import run

    run(job, console, folder)
    return 0


def unfinished(job: Job) -> Path | None:
    """Return the folder of the run with the same config: `run_dir`, else the latest unfinished run; None without any.

    Raises:
        UsageError: `run_dir` has another run.
    """
    if job.run_dir is not None:
        folder = Path(job.run_dir).expanduser()
        if not (folder / run_directory.CONFIG).is_file():
            return None
        if other := differing(job, folder):
            raise UsageError(
                f"run_dir={job.run_dir}: another run lies there, it differs in {', '.join(other[:5])}"
            )
        return folder
    beside = run_directory.OUTPUTS / job.task / job.strategy_name
    for folder in sorted(beside.glob("*/"), reverse=True):
        begun = (folder / run_directory.RUN).is_file() and not finished(folder)
        if begun and not run_directory.is_held(folder) and not differing(job, folder):
            return folder
    return None


def differing(job: Job, folder: Path) -> list[str]:
    """Return the keys whose values differ from those in the config of the run in `folder`."""
    from yaml import YAMLError, safe_load  # type: ignore[import-untyped]

    # Both configs are read from YAML, so that equal values compare equal.
    here = safe_load(OmegaConf.to_yaml(OmegaConf.create(redact(job.config))))
    try:
        there = safe_load((folder / run_directory.CONFIG).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, YAMLError) as error:
        raise UsageError(f"{folder / run_directory.CONFIG} cannot be read: {error}") from error
    mine, theirs = dict(leaves(here)), dict(leaves(there if isinstance(there, Mapping) else {}))
    return sorted(
        key
        for key in mine.keys() | theirs.keys()
        if key not in PLACE_KEYS and mine.get(key) != theirs.get(key)
    )


def leaves(config: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in config.items():
        if isinstance(value, Mapping) and value:
            yield from leaves(value, f"{above}{key}.")
        else:
            yield f"{above}{key}", value
