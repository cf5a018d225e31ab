"""Rows as `datasets` holds them, shaped for a head."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from datasets import Dataset

    from tlplug.data.table import Table


def quiet_datasets() -> Any:
    """The `datasets` module, with its progress bars off."""
    import datasets

    datasets.disable_progress_bars()
    return datasets


def read_table(table: Table, columns: Mapping[str, str]) -> Dataset:
    """All rows: the head's columns by the head's names (`columns`: head's -> table's), and `id` from 0."""
    import numpy as np

    wanted = list(columns.values())
    rows = table.load(wanted).select_columns(wanted)
    rows = rows.rename_columns({column: head for head, column in columns.items() if head != column})
    return _with_class_names(rows).add_column("id", np.arange(len(rows)))


def _with_class_names(rows: Dataset) -> Dataset:
    """Class numbers replaced by the names that come with them; a number below 0 (no label) by null."""
    datasets = quiet_datasets()
    for column, feature in rows.features.items():
        inner = getattr(feature, "feature", feature)
        if isinstance(inner, datasets.ClassLabel):
            text = datasets.Value("string")
            named = [_class_name(value, inner.names) for value in rows[column]]
            rows = rows.remove_columns(column).add_column(
                column, named, feature=text if inner is feature else datasets.List(text)
            )
    return rows


def _class_name(value: Any, names: list[str]) -> Any:
    if isinstance(value, list):
        return [_class_name(item, names) for item in value]
    return names[value] if value is not None and value >= 0 else None
