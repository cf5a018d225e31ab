"""Read the rows of a task: its splits, with the head's columns and ids."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tlplug.data.messages import listing, names
from tlplug.data.readers.arrow_types import quiet_datasets
from tlplug.data.readers.formats import SUFFIXES
from tlplug.data.readers.library import StreamTable, Table, take_rows
from tlplug.data.readers.sources import Source, open_source, open_table
from tlplug.data.split import Split, draw_limit, draw_splits
from tlplug.errors import UsageError, did_you_mean
from tlplug.runtime.files import refuse_address
from tlplug.settings import DataSettings

if TYPE_CHECKING:
    from datasets import Dataset


def read_table(table: Table, columns: Mapping[str, str]) -> Dataset:
    """Return all rows, with the columns of `columns` (the head's name -> the table's) and `id`, from 0."""
    import numpy as np

    wanted = list(columns.values())
    rows = table.load(wanted).select_columns(wanted)
    rows = rows.rename_columns({column: head for head, column in columns.items() if head != column})
    return _with_class_names(_with_floats(rows)).add_column("id", np.arange(len(rows)))


def _with_floats(rows: Dataset) -> Dataset:
    """Cast columns of decimals, which are no JSON values, to floats."""
    datasets = quiet_datasets()
    for column, feature in rows.features.items():
        if str(getattr(feature, "dtype", "")).startswith("decimal"):
            rows = rows.cast_column(column, datasets.Value("float64"))
    return rows


def _with_class_names(rows: Dataset) -> Dataset:
    """Replace class numbers by their names, and a number below 0 (no label) by null."""
    datasets = quiet_datasets()
    for column, feature in rows.features.items():
        inner = getattr(feature, "feature", feature)
        if isinstance(inner, datasets.ClassLabel):
            text = datasets.Value("string")
            labels = [_class_name(value, inner.names) for value in rows[column]]
            rows = rows.remove_columns(column).add_column(
                column, labels, feature=text if inner is feature else datasets.List(text)
            )
    return rows


def _class_name(value: Any, names: list[str]) -> Any:
    if isinstance(value, list):
        return [_class_name(item, names) for item in value]
    return names[value] if value is not None and value >= 0 else None


def match_columns(
    given: Mapping[str, str],
    wanted: Mapping[str, str],
    tables: Iterable[Table],
    optional: Mapping[str, str] | None = None,
) -> dict[str, str]:
    """Return the head's columns -> the tables' columns, which have the same name unless `data.columns` has another.

    Args:
        optional: columns that are read where `data.columns` names them or every table has them.

    Raises:
        UsageError: a key of `data.columns` is unknown, a column is missing, or its values are of mixed kinds.
    """
    tables, possible = list(tables), {**wanted, **(optional or {})}
    if problems := [_unknown(key, possible) for key in given if key not in possible]:
        raise UsageError(f"data.columns has keys that the head does not use:\n{listing(problems)}")
    present = {head for head in optional or {} if all(head in table.columns() for table in tables)}
    wanted = {head: meaning for head, meaning in possible.items() if head in {*wanted, *given, *present}}
    columns = {head: given.get(head, head) for head in wanted}
    if twice := sorted({name for name in columns.values() if list(columns.values()).count(name) > 1}):
        raise UsageError(
            f"data.columns gives the column {names(twice)} to more than one of {names(columns)}."
        )
    if problems := [problem for table in tables for problem in _missing(table, columns, wanted)]:
        raise UsageError(f"columns are missing:\n{listing(problems)}")
    if problems := [problem for table in tables for problem in _mixed(table, columns.values())]:
        raise UsageError(f"a column has one kind of value in all rows:\n{listing(problems)}")
    return columns


def _unknown(key: str, wanted: Mapping[str, str]) -> str:
    near = did_you_mean(key, wanted)
    return f"data.columns.{key}: the head's columns are {names(wanted)}.{near}"


def _missing(table: Table, columns: Mapping[str, str], wanted: Mapping[str, str]) -> list[str]:
    present = table.columns()
    return [
        f'{table.title}: no column "{column}". Its columns are {names(present)}. '
        f"Set data.columns.{head}=... to the one that holds: {wanted[head]}.{did_you_mean(column, present)}"
        for head, column in columns.items()
        if column not in present
    ]


def _mixed(table: Table, columns: Iterable[str]) -> list[str]:
    problems = []
    for column in columns:
        kinds = table.kinds(column)
        if len(kinds) > 1:
            places = ", ".join(f"{kind} in {place}" for kind, place in kinds.items())
            problems.append(f'"{column}" is {places}')
    return problems


SPLITS = ("train", "validation", "test")


def read_splits(
    settings: DataSettings,
    wanted: Mapping[str, str],
    optional: Mapping[str, str] | None = None,
    split_names: Sequence[str] = SPLITS,
) -> dict[str, Split]:
    """Return the named splits, with the head's columns `wanted` (name -> meaning) and `id`.

    Columns in `optional` are read where the data has them. Fractions and limits are drawn by `data.seed`; rows
    keep the order of their source.

    Raises:
        UsageError: a file, split or column does not exist, or lines cannot be read; all of them at once.
    """
    fractions = _fractions(settings)
    limits = _limits(settings)
    tables = take_rows(_tables(settings, fractions, split_names), fractions, limits)
    _refuse_broken(tables.values())
    columns = match_columns(settings.columns, wanted, dict.fromkeys(tables.values()), optional)
    rows = {table: read_table(table, columns) for table in dict.fromkeys(tables.values())}
    parts = draw_splits(len(rows[tables["train"]]), fractions, settings.seed) if "train" in tables else {}
    splits = {}
    for name in split_names:
        table = tables[name]
        positions = parts.get(name, range(len(rows[table])))
        chosen = rows[table].select(draw_limit(positions, limits[name], settings.seed))
        splits[name] = Split(name, chosen, table.title, table.place)
    return splits


def _fractions(settings: DataSettings) -> dict[str, float]:
    """Return the splits that are drawn out of train: test first, so that it is the same whatever validation is."""
    fractions = {}
    for name in ("test", "validation", "train"):
        if (number := _number(getattr(settings.splits, name))) is None:
            continue
        if name == "train" or not 0 < number < 1:
            raise UsageError(
                f"data.splits.{name}={number:g}: expected a split's name, a file"
                + (" or a fraction between 0 and 1 of the training rows." if name != "train" else ".")
            )
        fractions[name] = number
    return fractions


def _number(value: Any) -> float | None:
    try:
        return float(value)
    except (TypeError, ValueError):
        return None


def _limits(settings: DataSettings) -> dict[str, int | None]:
    limits: dict[str, int | None] = vars(settings.limit)
    for name, limit in limits.items():
        if limit is not None and limit < 1:
            raise UsageError(
                f"data.limit.{name}={limit}: expected a number of rows from 1 on, or null for all."
            )
    return limits


def _tables(
    settings: DataSettings, fractions: Mapping[str, float], split_names: Sequence[str]
) -> dict[str, Table]:
    """Return the table of each split, and of `train` where one is drawn out of it; equal tables are one object."""
    source = open_source(settings)
    origins = {name: "train" if name in fractions else name for name in split_names}
    if "train" in origins.values():
        origins["train"] = "train"
    tables: dict[str, Table] = {}
    problems = []
    for name in dict.fromkeys(origins.values()):
        try:
            table = _table(source, str(getattr(settings.splits, name)), name)
            tables[name] = next((same for same in tables.values() if same == table), table)
        except UsageError as error:
            problems.append(str(error))
    if problems:
        raise UsageError("\n".join(problems))
    return {name: tables[origin] for name, origin in origins.items()}


def _table(source: Source, value: str, name: str) -> Table:
    key = f"data.splits.{name}={value}"
    if value in source.tables:
        return source.tables[value]
    refuse_address(f"data.splits.{name}", value)
    path = source.folder / Path(value).expanduser()
    if _is_path(value):
        return open_table(path.resolve(), key)
    raise UsageError(
        f"{key}: {source.title} has no such split; it has {names(source.tables)}. "
        f"Set {_remedy(source, name)}.{did_you_mean(value, source.tables)}"
        + (f" {value} is a folder: a file in it is {value}/..." if path.is_dir() else "")
    )


def _is_path(value: str) -> bool:
    return any(mark in value for mark in "/*?") or value.lower().endswith(SUFFIXES)


def _remedy(source: Source, name: str) -> str:
    if name == "train" or any(isinstance(table, StreamTable) for table in source.tables.values()):
        return f"data.splits.{name} to a split or a file"
    return f"data.splits.{name}=0.1 (drawn out of train) or a file"


def _refuse_broken(tables: Iterable[Table]) -> None:
    broken = [problem for table in dict.fromkeys(tables) for problem in table.broken()]
    if broken:
        raise UsageError(f"the data has lines that cannot be read:\n{listing(broken)}")
