"""Which column of a table each of the head's columns is."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from tlplug.data.table import Table
from tlplug.data.wording import listing, names, suggestion
from tlplug.errors import UsageError


def match_columns(
    given: Mapping[str, str],
    wanted: Mapping[str, str],
    tables: Iterable[Table],
    optional: Mapping[str, str] | None = None,
) -> dict[str, str]:
    """The head's columns -> the tables' columns; a column that `data.columns` does not name is its own name.

    Args:
        optional: columns that are read where `data.columns` names them or every table has them.

    Raises:
        UsageError: a key of `data.columns` is unknown, a column is missing, or its values are of mixed kinds.
    """
    tables, possible = list(tables), {**wanted, **(optional or {})}
    if problems := [_unknown(key, possible) for key in given if key not in possible]:
        raise UsageError(f"data.columns has keys that the head does not use:\n{listing(problems)}")
    found = {head for head in optional or {} if all(head in table.columns() for table in tables)}
    wanted = {head: told for head, told in possible.items() if head in {*wanted, *given, *found}}
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
    near = suggestion(key, wanted)
    return f"data.columns.{key}: the head's columns are {names(wanted)}.{near}"


def _missing(table: Table, columns: Mapping[str, str], wanted: Mapping[str, str]) -> list[str]:
    present = table.columns()
    return [
        f'{table.title}: no column "{column}". Its columns are {names(present)}. '
        f"Set data.columns.{head}=... to the one that holds: {wanted[head]}.{suggestion(column, present)}"
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
