"""Read rows of another domain than the task's, which `data.target_domain` and `transfer.source_domain` name."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace

from tlplug.data.read import read_splits
from tlplug.data.readers.sources import open_source
from tlplug.data.split import Split, check_rows
from tlplug.errors import UsageError
from tlplug.interfaces import TaskHead
from tlplug.settings import DataSettings, DomainSettings, LimitSettings, SplitSettings

KEYS = re.compile(r"(?<![\w./-])data\.(?:splits\.|(?=(?:path|subset|revision|columns|limit)\b))")
"""Matches the beginning of a key below `data`, not that of a file's name such as data.jsonl."""

TEXT = "text"
"""The column of data that has only texts."""

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Domain:
    """Rows of another domain that a model is evaluated on."""

    rows: Split
    text: str
    """The column of the head's first input."""
    plain: bool
    """Whether the rows have only texts, which the head cannot read."""


def read_for_evaluation(
    settings: DomainSettings, head: TaskHead, seed: int, key: str, texts: bool = True
) -> Domain:
    """Read the domain's test rows, or where there are none its training rows, with targets where the data has them.

    Args:
        texts: whether the base model reads texts. Data without the head's columns, such as a file of
            texts, is read as texts then.

    Raises:
        UsageError: it is not there, not readable, or has no column of texts.
    """
    data = _as_data(settings, seed)
    try:
        tables = open_source(data).tables
        name = "train" if settings.test == DomainSettings().test not in tables else "test"
        table = tables.get(str(getattr(settings, name)))
        present = set(head.columns) | {TEXT} if table is None else set(table.columns())
        inputs = {column: meaning for column, meaning in head.columns.items() if column not in head.targets}
        plain = texts and not {_data_column(column, settings) for column in inputs} <= present
        wanted = {TEXT: "a text"} if plain else inputs
        possible = {} if plain else {**head.optional_columns, **head.columns}
        optional = {
            column: meaning
            for column, meaning in possible.items()
            if column not in inputs and _data_column(column, settings) in present
        }
        columns = {key: name for key, name in settings.columns.items() if key in {*wanted, *optional}}
        split = read_splits(replace(data, columns=columns), wanted, optional, [name])[name]
    except UsageError as error:
        raise UsageError(rename_keys(key, str(error))) from error
    return Domain(split, next(iter(wanted)), plain)


def read_domains(
    settings: Mapping[str, DomainSettings],
    keys: Mapping[str, str],
    head: TaskHead,
    seed: int,
    texts: bool = True,
) -> dict[str, Domain]:
    """Read the rows of other domains that a model is evaluated on, where the settings have a path.

    Args:
        keys: of the settings, for errors.
        texts: whether the base model reads texts.

    Raises:
        UsageError: a domain cannot be read.
    """
    domains = {
        name: read_for_evaluation(domain, head, seed, keys[name], texts)
        for name, domain in settings.items()
        if domain.path is not None
    }
    for domain in domains.values():
        if not domain.plain:
            check_rows({"test": domain.rows}, head, with_targets=False)
    return domains


def _data_column(column: str, settings: DomainSettings) -> str:
    """Return the data's name of one of the head's columns."""
    return settings.columns.get(column, column)


def read_unlabelled(
    settings: DomainSettings, head: TaskHead, seed: int, key: str, like: Split | None = None
) -> Split:
    """Read the domain's training rows, without the head's targets, as a split named `train`.

    Without training rows, test rows are read, and a warning says so.

    Args:
        key: of the settings, for errors.
        like: rows that share batches with these, which need the same columns; None: all that the head reads.

    Raises:
        UsageError: something is not there or not readable.
    """
    try:
        return _read(settings, head, seed, key, "train", like)
    except UsageError:
        if not _has_test_rows_alone(settings):
            raise
    log.warning(
        "%s=%s has no training rows: its test rows are learnt from, without what is to be predicted. "
        "%s.train names others",
        key,
        settings.path,
        key,
    )
    return _read(replace(settings, train=settings.test), head, seed, key, "train", like)


def read_labelled(settings: DomainSettings, head: TaskHead, seed: int, key: str, like: Split) -> Split:
    """Read the domain's test rows with targets, as a split named `test`; otherwise as `read_unlabelled`."""
    return _read(settings, head, seed, key, "test", like)


def _read(
    settings: DomainSettings,
    head: TaskHead,
    seed: int,
    key: str,
    name: str,
    like: Split | None,
) -> Split:
    without = head.targets if name == "train" else ()
    optional = {key: meaning for key, meaning in head.optional_columns.items() if key not in without}
    wanted = {key: meaning for key, meaning in head.columns.items() if key not in without}
    if like is not None:
        # A model that learns from pairs of texts is given pairs, and another one is not.
        wanted |= {key: meaning for key, meaning in optional.items() if key in like.rows.column_names}
        optional = {}
    columns = {key: name for key, name in settings.columns.items() if key not in without}
    try:
        return read_splits(replace(_as_data(settings, seed), columns=columns), wanted, optional, [name])[name]
    except UsageError as error:
        raise UsageError(rename_keys(key, str(error))) from error


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
    """Return whether the data has test rows, and neither it nor the settings have training rows."""
    try:
        tables = open_source(_as_data(settings, 0)).tables
    except UsageError:
        return False  # reading the rows says why
    return settings.train == DomainSettings().train not in tables and settings.test in tables


def rename_keys(key: str, message: str) -> str:
    """Return an error's message with the keys below `key` in place of `data.path` and its neighbours."""
    return KEYS.sub(lambda _: f"{key}.", message)
