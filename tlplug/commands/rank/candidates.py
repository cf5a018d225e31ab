"""Resolve the base models to be ranked, and draw the training rows on which they are ranked."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from tlplug.commands.rank.plan import COMMAND, RankPlan
from tlplug.config.job import Job
from tlplug.data.read import SPLITS, read_splits
from tlplug.data.split import check_rows
from tlplug.errors import UsageError, no_such
from tlplug.evaluation.probes import class_indices, sample_rows
from tlplug.interfaces import BaseInfo, Row, TaskHead
from tlplug.interfaces.registry import Registry
from tlplug.runs.load import base_of
from tlplug.runs.prepare import check_base


@dataclass(frozen=True)
class Shown:
    """The head and the training rows on which every model is scored."""

    head: TaskHead
    rows: Sequence[Row]
    """p rows of the training split."""
    classes: np.ndarray
    """The classes of the rows as indices into the head's labels, int64 [p]."""


@dataclass(frozen=True)
class Candidate:
    """One base model that is resolved but not loaded."""

    name: str
    """The name that the user typed."""
    title: str
    """A short title that is unique among the candidates."""
    job: Job
    base: BaseInfo


def shown(plan: RankPlan) -> Shown:
    """Return the fitted head and a sample of training rows with their classes.

    All splits are read and checked if models are going to be fine-tuned, else the training split alone.

    Raises:
        UsageError: the data is not usable, or its rows do not have one class each.
    """
    job = plan.first
    asked = SPLITS if plan.settings.fine_tune_top and job.data.target_domain.path is None else SPLITS[:1]
    splits = read_splits(job.data, job.head.columns, job.head.optional_columns, asked)
    head = job.head.with_state(job.head.fit(splits["train"]))
    check_rows(splits, head)
    rows = sample_rows(splits["train"], plan.settings.max_rows, job.data.seed)
    classes = class_indices(rows, head)
    if classes is None:
        able = ", ".join(rankable())
        raise UsageError(
            f"rank needs one class for each row, and head {job.head_name!r} gives none here. "
            f"Heads that can be ranked: {able}, where each row has a single label"
        )
    return Shown(head, rows, classes)


def rankable() -> Iterator[str]:
    """Yield the names of the heads that define `class_of`."""
    registry = Registry()
    for name in registry.names("head"):
        try:
            cls = registry.find("head", name).load()
        except UsageError:
            continue  # a broken plugin is an error where it is selected
        if getattr(cls, "class_of", None) is not TaskHead.class_of:
            yield name


def candidates(plan: RankPlan, head: TaskHead) -> list[Candidate]:
    """Resolve all base models and check that the head works on each of them.

    Raises:
        UsageError: models do not exist or are incompatible; the message lists all of them.
    """
    found: dict[str, BaseInfo] = {}
    wrong: dict[str, str] = {}
    for name, job in plan.jobs.items():
        try:
            found[name] = base_of(job.model, job.data.max_length)
            fit(job, head, found[name], bool(plan.settings.fine_tune_top))
        except UsageError as error:
            hint = f" And {no_such('preset', name, plan.presets)}" if "/" not in name else ""
            wrong[name] = f"{error}{hint if name not in plan.presets and name not in found else ''}"
    COMMAND.raise_errors(wrong, list(plan.jobs))
    short = titles(list(found), plan.presets)
    return [Candidate(name, short[name], plan.jobs[name], base) for name, base in found.items()]


def fit(job: Job, head: TaskHead, base: BaseInfo, trained: bool) -> None:
    """Raise an error if the head, or with `trained` the strategy, does not work on the base model."""
    if trained:
        check_base(job, head, base)
    elif reason := head.why_incompatible(base):
        raise UsageError(f"head {job.head_name!r} does not work on it: {reason}")


def titles(names: Sequence[str], presets: Sequence[str]) -> Mapping[str, str]:
    """Return a title for each name: the last part of a path if it is unique, else the name itself."""
    short = {name: name if name in presets else ending(name) for name in names}
    return {name: title if list(short.values()).count(title) == 1 else name for name, title in short.items()}


def ending(name: str) -> str:
    if name.startswith("pkg://"):
        return name.removeprefix("pkg://")
    path = name.startswith((".", "/", "~")) or name.count("/") > 1
    return name.rstrip("/").rpartition("/")[2] if path else name
