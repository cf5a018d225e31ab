"""Rows of another domain than the task's: what `data.target_domain` and `transfer.source_domain` name."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from tlplug.data.read import read_splits
from tlplug.data.readers.sources import open_source
from tlplug.data.split import Split, check_rows
from tlplug.errors import UsageError
from tlplug.interfaces import TaskHead
from tlplug.settings import DataSettings, DomainSettings, LimitSettings, SplitSettings

KEYS = re.compile(r"(?<![\w./-])data\.(?:splits\.|(?=(?:path|subset|revision|columns|limit)\b))")
"""The beginning of a key below `data`; not that of a file's name, such as data.jsonl."""

TEXT = "text"
"""The column of data that is no more than texts."""

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Domain:
    """Rows of a domain that a model is looked at with."""

    rows: Split
    text: str
    """The column that holds what is read first."""
    plain: bool
    """Whether they are no more than texts, which the head cannot read."""


def looked_at(settings: DomainSettings, head: TaskHead, seed: int, key: str, texts: bool = True) -> Domain:
    """The domain's test rows, or where there are none its training rows, with targets where the data has them.

    Args:
        texts: whether the base model reads texts. Data that does not have the head's columns, such as a file of texts, is
            read as texts then.

    Raises:
        UsageError: it is not there, not readable, or has no column of texts.
    """
    data = _as_data(settings, seed)
    try:
        tables = open_source(data).tables
        name = "train" if settings.test == DomainSettings().test not in tables else "test"
        table = tables.get(str(getattr(settings, name)))
        present = set(head.columns) | {TEXT} if table is None else set(table.columns())
        inputs = {column: told for column, told in head.columns.items() if column not in head.targets}
        plain = texts and not {named(column, settings) for column in inputs} <= present
        wanted = {TEXT: "a text"} if plain else inputs
        optional = {} if plain else {**head.optional_columns, **head.columns}
        optional = {
            c: told for c, told in optional.items() if c not in inputs and named(c, settings) in present
        }
        columns = {c: given for c, given in settings.columns.items() if c in {*wanted, *optional}}
        split = read_splits(replace(data, columns=columns), wanted, optional, [name])[name]
    except UsageError as error:
        raise UsageError(in_terms_of(key, str(error))) from error
    return Domain(split, next(iter(wanted)), plain)


def read_domains(
    settings: Mapping[str, DomainSettings],
    keys: Mapping[str, str],
    head: TaskHead,
    seed: int,
    texts: bool = True,
) -> dict[str, Domain]:
    """Rows of other domains, where they are named, that a model is looked at with, by the domains' names.

    Args:
        keys: of the settings, for errors.
        texts: whether the base model reads texts.

    Raises:
        UsageError: they are not usable.
    """
    found = {
        name: looked_at(domain, head, seed, keys[name], texts)
        for name, domain in settings.items()
        if domain.path is not None
    }
    for domain in found.values():
        if not domain.plain:
            check_rows({"test": domain.rows}, head, with_targets=False)
    return found


def named(column: str, settings: DomainSettings) -> str:
    """What the data calls one of the head's columns."""
    return settings.columns.get(column, column)


def unlabelled(
    settings: DomainSettings, head: TaskHead, seed: int, key: str, like: Split | None = None
) -> Split:
    """The domain's training rows, without the head's targets: one split named `train`.

    Where there are no training rows but test rows, it is these, and a warning says so.

    Args:
        key: of the settings, for errors.
        like: rows that go into the model beside these, which need the same columns; None: any that the head reads.

    Raises:
        UsageError: something is not there or not readable.
    """
    try:
        return _read(settings, head, seed, key, "train", head.targets, like)
    except UsageError:
        if not _has_test_rows_alone(settings):
            raise
    log.warning(
        "%s=%s has no training rows: its test rows are learnt from, without what is to be predicted. "
        "%s.train names others",
        *(key, settings.path, key),
    )
    return _read(replace(settings, train=settings.test), head, seed, key, "train", head.targets, like)


def labelled(settings: DomainSettings, head: TaskHead, seed: int, key: str, like: Split) -> Split:
    """The domain's test rows, with targets to be scored by: one split named `test`. Otherwise as `unlabelled`."""
    return _read(settings, head, seed, key, "test", (), like)


def _read(
    settings: DomainSettings,
    head: TaskHead,
    seed: int,
    key: str,
    name: str,
    without: Sequence[str],
    like: Split | None,
) -> Split:
    optional = {column: told for column, told in head.optional_columns.items() if column not in without}
    wanted = {column: told for column, told in head.columns.items() if column not in without}
    if like is not None:
        # A model that has learnt from pairs is given pairs, and one that has not is not.
        wanted |= {column: told for column, told in optional.items() if column in like.rows.column_names}
        optional = {}
    columns = {column: given for column, given in settings.columns.items() if column not in without}
    try:
        return read_splits(replace(_as_data(settings, seed), columns=columns), wanted, optional, [name])[name]
    except UsageError as error:
        raise UsageError(in_terms_of(key, str(error))) from error


def _as_data(settings: DomainSettings, seed: int) -> DataSettings:
    return DataSettings(
        path=settings.path or "",
        subset=settings.subset,
        revision=settings.revision,
        splits=SplitSettings(train=settings.train, test=settings.test),
        limit=LimitSettings(train=settings.limit.train, test=settings.limit.test),
        seed=seed,
    )


def _has_test_rows_alone(settings: DomainSettings) -> bool:
    """Whether no training rows are named, and there are none, but test rows are."""
    try:
        tables = open_source(_as_data(settings, 0)).tables
    except UsageError:
        return False  # reading the rows says why
    return settings.train == DomainSettings().train not in tables and settings.test in tables


def in_terms_of(key: str, told: str) -> str:
    """An error that speaks of `data.path` and its neighbours, as one of the keys below `key`."""
    return KEYS.sub(lambda _: f"{key}.", told)
