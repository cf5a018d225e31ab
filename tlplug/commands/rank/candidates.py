"""The base models that are asked for -> those that were found, with the rows that they are shown."""

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
    """What every model is shown."""

    head: TaskHead
    rows: Sequence[Row]
    """Of the training split, p of them."""
    classes: np.ndarray
    """Their classes as numbers among the head's labels, int64 [p]."""


@dataclass(frozen=True)
class Candidate:
    """One base model, found but not loaded."""

    name: str
    """As it was typed."""
    title: str
    """Short, and of no other candidate."""
    job: Job
    base: BaseInfo


def shown(plan: RankPlan) -> Shown:
    """Training rows, never others; where models are going to be fine-tuned, the other splits are read and checked too.

    Raises:
        UsageError: the data is not usable, or its rows have no single class each.
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
    """Names of the heads whose rows can have a class."""
    registry = Registry()
    for name in registry.names("head"):
        try:
            cls = registry.find("head", name).load()
        except UsageError:
            continue  # a broken plugin is told of where it is selected
        if getattr(cls, "class_of", None) is not TaskHead.class_of:
            yield name


def candidates(plan: RankPlan, head: TaskHead) -> list[Candidate]:
    """All base models found, and asked whether they fit.

    Raises:
        UsageError: those that are not there or do not fit, all of them at once.
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
    """Whether the head works on the base model, and where it is going to be trained, the strategy too."""
    if trained:
        check_base(job, head, base)
    elif reason := head.why_incompatible(base):
        raise UsageError(f"head {job.head_name!r} does not work on it: {reason}")


def titles(names: Sequence[str], presets: Sequence[str]) -> Mapping[str, str]:
    """The last part of a path, where no other one ends alike; presets and hub ids as they are."""
    short = {name: name if name in presets else ending(name) for name in names}
    return {name: title if list(short.values()).count(title) == 1 else name for name, title in short.items()}


def ending(name: str) -> str:
    if name.startswith("pkg://"):
        return name.removeprefix("pkg://")
    path = name.startswith((".", "/", "~")) or name.count("/") > 1
    return name.rstrip("/").rpartition("/")[2] if path else name
