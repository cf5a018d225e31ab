"""Rows of another domain than the task's: what `data.target` and `transfer.source` name."""

from __future__ import annotations

from collections.abc import Sequence

from tlplug.contracts import DataSettings, DomainSettings, SplitSettings, TaskHead, UsageError
from tlplug.data.source import read_splits
from tlplug.data.split import Split


def unlabelled(settings: DomainSettings, head: TaskHead, seed: int, key: str) -> Split:
    """The domain's training rows, without the head's targets: one split named `train`.

    Args:
        key: of the settings, for errors.

    Raises:
        UsageError: something is not there or not readable.
    """
    return _read(settings, head, seed, key, "train", head.targets)


def labelled(settings: DomainSettings, head: TaskHead, seed: int, key: str) -> Split:
    """The domain's test rows, with targets to be scored by: one split named `test`."""
    return _read(settings, head, seed, key, "test", ())


def _read(
    settings: DomainSettings, head: TaskHead, seed: int, key: str, name: str, without: Sequence[str]
) -> Split:
    wanted = {column: meaning for column, meaning in head.columns.items() if column not in without}
    optional = {column: meaning for column, meaning in head.optional_columns.items() if column not in without}
    asked = DataSettings(
        path=settings.path or "",
        subset=settings.subset,
        revision=settings.revision,
        columns={column: given for column, given in settings.columns.items() if column not in without},
        splits=SplitSettings(train=settings.train, test=settings.test),
        limit=settings.limit,
        seed=seed,
    )
    try:
        return read_splits(asked, wanted, optional, [name])[name]
    except UsageError as error:
        raise UsageError(in_terms_of(key, str(error))) from error


def in_terms_of(key: str, told: str) -> str:
    """An error that speaks of `data.path` and its neighbours, as one of the keys below `key`."""
    for own, other in (("data.splits.", f"{key}."), ("data.", f"{key}.")):
        told = told.replace(own, other)
    return told
