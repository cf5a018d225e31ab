"""Arrow types: of values from JSON, and of two pieces of one column."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from datasets import Features


def quiet_datasets() -> Any:
    """The `datasets` module, with its progress bars off."""
    import datasets

    datasets.disable_progress_bars()
    return datasets


def column_of(values: list[Any]) -> Any:
    """The JSON values as an Arrow array; a column in which an object stands becomes JSON text.

    A struct would give each object the keys of all the others, and each key one type.

    Raises:
        ValueError: there is no type for the values, or one is beyond it.
    """
    import pyarrow as pa  # type: ignore[import-untyped]

    try:
        return _texts(values) if any(map(_holds_object, values)) else pa.array(values)
    except (pa.ArrowException, OverflowError, UnicodeError) as error:
        raise ValueError(str(error)) from error


def wider(one: Any, other: Any) -> Any:
    """The Arrow field that holds the values of both fields, of one name.

    Raises:
        pyarrow.ArrowException: there is none.
    """
    import pyarrow as pa

    if one.type == other.type:
        return one
    if any(map(is_json, (one.type, other.type))) and all(map(_can_be_json, (one.type, other.type))):
        return pa.field(one.name, pa.json_())
    schemas = [pa.schema([one]), pa.schema([other])]
    return pa.unify_schemas(schemas, promote_options="permissive").field(0)


def column_as(column: Any, type: Any) -> Any:
    """The Arrow column with values of another type, one that `wider` gave.

    Raises:
        pyarrow.ArrowException: a value is not the same in that type.
    """
    if column.type == type:
        return column
    return _texts(column.to_pylist()) if is_json(type) else column.cast(type)


def fits(values: list[Any], known: Any) -> bool:
    """Whether the values go into an Arrow field as it is."""
    import pyarrow as pa

    try:
        found = column_of(values)
        column_as(found, known.type)
        return bool(wider(known, pa.field(known.name, found.type)).type == known.type)
    except (pa.ArrowException, ValueError):
        return False


def is_json(type: Any) -> bool:
    """Whether values of this Arrow type are JSON text."""
    import pyarrow as pa

    return isinstance(type, pa.JsonType)


def features_of(schema: Any) -> Features:
    """The features that come with an Arrow schema; JSON text is left for `Split` to read.

    The reader of `datasets` drops the last digits of numbers.
    """
    datasets = quiet_datasets()
    features = datasets.Features.from_arrow_schema(schema)
    for field in schema:
        if is_json(field.type):
            features[field.name] = datasets.Json(decode=False)
    return features


def class_names(schema: Any) -> dict[str, list[str]]:
    """Column -> the names of its classes, which `datasets` leaves in the schema's metadata."""
    told: Any = {}
    with suppress(ValueError):  # what is no JSON names no classes
        told = json.loads((schema.metadata or {}).get(b"huggingface", b"{}"))
    for key in ("info", "features"):
        told = (told.get(key) if isinstance(told, dict) else None) or {}
    features = told if isinstance(told, dict) else {}
    found = {}
    for column, feature in features.items():
        inner = feature.get("feature", feature) if isinstance(feature, dict) else {}
        if isinstance(inner, dict) and isinstance(inner.get("names"), list):
            found[column] = inner["names"]
    return found


def _can_be_json(type: Any) -> bool:
    import pyarrow as pa

    return bool(is_json(type) or pa.types.is_nested(type) or pa.types.is_null(type))


def _holds_object(value: Any) -> bool:
    if not isinstance(value, list):
        return isinstance(value, dict)
    types = set(map(type, value))
    return dict in types or (list in types and any(map(_holds_object, value)))


def _texts(values: list[Any]) -> Any:
    import pyarrow as pa

    texts = [None if value is None else json.dumps(value, ensure_ascii=False) for value in values]
    return pa.array(texts, pa.json_())
