"""What a run begins with: its resolved config and the words it was asked for with, frozen in its folder; and its end."""

from __future__ import annotations

from pathlib import Path

from omegaconf import OmegaConf

from tlplug import run_directory
from tlplug.config.job import Job
from tlplug.interfaces.registry import told_of
from tlplug.report.written import PAGE
from tlplug.secrets import redacted, redacted_words

SWEEP_VARIABLE = "TLPLUG_SWEEP"
"""Names the sweep in the environment of its jobs, for loggers to put them together."""


def begin(job: Job, folder: Path) -> None:
    """What the run can be gone on with from, or begun with in another process; secrets are left out."""
    config = OmegaConf.to_yaml(OmegaConf.create(redacted(job.config)))
    words = redacted_words(job.typed)
    run_directory.begin(folder, config, words=words, plugins=told_of(job.plugins))


def finished(folder: Path) -> bool:
    """Whether a run has its result and its report, and was not cut off in telling others of them."""
    there = all((folder / name).is_file() for name in (run_directory.RESULT, PAGE))
    return there and not (folder / run_directory.PROGRESS).exists()
