"""From the settings under `data` to the three splits."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from tlplug.contracts import refuse_address
from tlplug.data.columns import match_columns
from tlplug.data.draw import divided, limited
from tlplug.data.formats import SUFFIXES
from tlplug.data.hub import StreamTable, heads
from tlplug.data.rows import read_table
from tlplug.data.sources import Source, open_source, open_table
from tlplug.data.split import Split
from tlplug.data.table import Table
from tlplug.data.wording import listing, names, suggestion
from tlplug.errors import UsageError
from tlplug.settings import DataSettings

SPLITS = ("train", "validation", "test")


def read_splits(
    settings: DataSettings,
    wanted: Mapping[str, str],
    optional: Mapping[str, str] | None = None,
    asked: Sequence[str] = SPLITS,
) -> dict[str, Split]:
    """The splits that are asked for, with the head's columns `wanted` (name -> meaning) and `id`.

    Columns in `optional` are there where the data has them. Fractions and limits are drawn by `data.seed`; rows
    keep the order of their source.

    Raises:
        UsageError: something is not there, or not readable; all broken lines or missing columns at once.
    """
    fractions = _fractions(settings)
    limits = _limits(settings)
    tables = heads(_tables(settings, fractions, asked), fractions, limits)
    _refuse_broken(tables.values())
    columns = match_columns(settings.columns, wanted, dict.fromkeys(tables.values()), optional)
    rows = {table: read_table(table, columns) for table in dict.fromkeys(tables.values())}
    parts = divided(len(rows[tables["train"]]), fractions, settings.seed) if "train" in tables else {}
    splits = {}
    for name in asked:
        table = tables[name]
        positions = parts.get(name, range(len(rows[table])))
        chosen = rows[table].select(limited(positions, limits[name], settings.seed))
        splits[name] = Split(name, chosen, table.title, table.place)
    return splits


def _fractions(settings: DataSettings) -> dict[str, float]:
    """The splits that are drawn out of train: test first, so that it is the same whatever validation is."""
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


def _tables(settings: DataSettings, fractions: Mapping[str, float], asked: Sequence[str]) -> dict[str, Table]:
    """The table that each split is read from, the same object for the same file; `train` too where one is drawn of it."""
    source = open_source(settings)
    origins = {name: "train" if name in fractions else name for name in asked}
    if "train" in origins.values():
        origins["train"] = "train"
    found: dict[str, Table] = {}
    problems = []
    for name in dict.fromkeys(origins.values()):
        try:
            table = _table(source, str(getattr(settings.splits, name)), name)
            found[name] = next((same for same in found.values() if same == table), table)
        except UsageError as error:
            problems.append(str(error))
    if problems:
        raise UsageError("\n".join(problems))
    return {name: found[origin] for name, origin in origins.items()}


def _table(source: Source, asked: str, name: str) -> Table:
    key = f"data.splits.{name}={asked}"
    if asked in source.tables:
        return source.tables[asked]
    refuse_address(f"data.splits.{name}", asked)
    path = source.folder / Path(asked).expanduser()
    if _is_path(asked):
        return open_table(path.resolve(), key)
    raise UsageError(
        f"{key}: {source.title} has no such split; it has {names(source.tables)}. "
        f"Set {_remedy(source, name)}.{suggestion(asked, source.tables)}"
        + (f" {asked} is a folder: a file in it is {asked}/..." if path.is_dir() else "")
    )


def _is_path(asked: str) -> bool:
    return "/" in asked or "*" in asked or "?" in asked or asked.lower().endswith(SUFFIXES)


def _remedy(source: Source, name: str) -> str:
    if name == "train" or any(isinstance(table, StreamTable) for table in source.tables.values()):
        return f"data.splits.{name} to a split or a file"
    return f"data.splits.{name}=0.1 (drawn out of train) or a file"


def _refuse_broken(tables: Iterable[Table]) -> None:
    broken = [problem for table in dict.fromkeys(tables) for problem in table.broken()]
    if broken:
        raise UsageError(f"the data has lines that cannot be read:\n{listing(broken)}")
