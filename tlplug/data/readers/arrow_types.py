"""Find the Arrow type that holds all values of a column, and convert values to it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from tlplug.errors import UsageError

if TYPE_CHECKING:
    from datasets import Features


class Columns:
    """The columns of a table, each with one Arrow type.

    Args:
        origins: column -> each type of its values -> the first place that has it.
        metadata: of the schema.

    Raises:
        UsageError: no type holds all values of a column.
    """

    def __init__(self, origins: Mapping[str, Mapping[Any, str]], metadata: Any = None) -> None:
        import pyarrow as pa  # type: ignore[import-untyped]

        self.origins = origins
        types = [(column, _common_type(column, types)) for column, types in origins.items()]
        self.schema = pa.schema(types, metadata)

    def table(self, values: Any, place: Callable[[int], str], start: int) -> Any:
        """Return the values, lists or Arrow arrays by column, as a `pyarrow.Table`.

        Args:
            place: position of a row -> where it is.
            start: position of the first row.

        Raises:
            UsageError: a value cannot be converted.
        """
        import pyarrow as pa

        arrays = []
        for field in self.schema:
            column = values[field.name]
            try:
                arrays.append(_convert(column, field.type))
            except _errors() as error:
                row = next(row for row in range(len(column)) if not _fits(column[row : row + 1], field.type))
                origins = self.origins[field.name].items()
                types = ", ".join(f"{_short(type)} in {where}" for type, where in origins)
                raise UsageError(
                    f'{place(start + row)}: "{field.name}" has an unusable value: {error}. '
                    f"The column has {types}."
                ) from error
        return pa.table(arrays, schema=self.schema)


def type_of(value: Any, column: str, place: str) -> Any:
    """Return the Arrow type of a JSON value that holds no object.

    Raises:
        UsageError: there is none, such as for a list of numbers and text.
    """
    import pyarrow as pa

    try:
        return pa.array([value]).type
    except _errors() as error:
        raise UsageError(f'{place}: "{column}" has an unusable value: {error}') from error


def merge(mappings: Iterable[Mapping[Any, str]]) -> dict[Any, str]:
    """Return the mappings as one, in which each key has its first value."""
    result: dict[Any, str] = {}
    for mapping in mappings:
        result |= {key: value for key, value in mapping.items() if key not in result}
    return result


def quiet_datasets() -> Any:
    """Return the `datasets` module, with its progress bars off."""
    import datasets

    datasets.disable_progress_bars()
    return datasets


def features_of(schema: Any) -> Features:
    """Return the features that come with an Arrow schema; JSON text is left for `Split` to read.

    The reader of `datasets` drops the last digits of numbers.
    """
    datasets = quiet_datasets()
    features = datasets.Features.from_arrow_schema(schema)
    json_columns = [field.name for field in schema if _is_json(field.type)]
    features.update(dict.fromkeys(json_columns, datasets.Json(decode=False)))
    return features


def class_names(metadata: Mapping[bytes, bytes] | None) -> dict[str, list[str]]:
    """Return column -> the names of its classes, which `datasets` leaves in a schema's metadata."""
    names = {}
    with suppress(
        ValueError, TypeError, KeyError, AttributeError
    ):  # what is of another form names no classes
        for column, feature in json.loads((metadata or {})[b"huggingface"])["info"]["features"].items():
            inner = feature.get("feature", feature) if isinstance(feature, dict) else {}
            if isinstance(inner, dict) and isinstance(inner.get("names"), list):
                names[column] = inner["names"]
    return names


def _errors() -> tuple[type[Exception], ...]:
    """Return what pyarrow raises where a value has no type, or is beyond it."""
    from pyarrow import ArrowException

    return ArrowException, OverflowError, UnicodeError


def _common_type(column: str, origins: Mapping[Any, str]) -> Any:
    import pyarrow as pa

    known, where = pa.null(), ""
    for type, place in origins.items():
        try:
            wider = _wider(known, type)
        except pa.ArrowException as error:
            raise UsageError(
                f'{place}: "{column}" has a value that does not go with those of the rows before it: '
                f"it is {_short(type)}, and {where} has {_short(known)}. A column has one type."
            ) from error
        if wider != known:
            known, where = wider, place
    return known


def _wider(one: Any, other: Any) -> Any:
    """Return the Arrow type that holds the values of both."""
    import pyarrow as pa

    both = (one, other)
    if any(map(_is_json, both)) and all(
        _is_json(type) or pa.types.is_nested(type) or pa.types.is_null(type) for type in both
    ):
        return pa.json_()
    schemas = [pa.schema([("", type)]) for type in both]
    return pa.unify_schemas(schemas, promote_options="permissive").field(0).type


def _short(type: Any) -> str:
    return str(type) if len(str(type)) < 60 else f"{str(type)[:50]}..."


def _is_json(type: Any) -> bool:
    import pyarrow as pa

    return isinstance(type, pa.JsonType)


def _convert(values: Any, type: Any) -> Any:
    import pyarrow as pa

    if _is_json(type) and (isinstance(values, list) or values.type != type):
        items = values if isinstance(values, list) else values.to_pylist()
        values = [None if item is None else json.dumps(item, ensure_ascii=False) for item in items]
    return pa.array(values, type) if isinstance(values, list) else values.cast(type)


def _fits(values: Any, type: Any) -> bool:
    try:
        return bool(len(_convert(values, type)))
    except _errors():
        return False
