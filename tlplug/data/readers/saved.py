"""Folders that `Dataset.save_to_disk` and `DatasetDict.save_to_disk` write."""

from __future__ import annotations

import json
from pathlib import Path

from tlplug.data.messages import shown_path
from tlplug.data.readers.arrow_types import quiet_datasets
from tlplug.data.readers.table import Table
from tlplug.data.readers.typed_table import DatasetTable
from tlplug.errors import UsageError

_OF_DATASET = ("dataset_info.json", "state.json")
_OF_DICT = "dataset_dict.json"


def is_saved(folder: Path) -> bool:
    """Whether `datasets` saved a data set there."""
    return (folder / _OF_DICT).is_file() or all((folder / name).is_file() for name in _OF_DATASET)


def expect_own(folder: Path) -> None:
    """Files and splits that the folder names lie in it.

    Raises:
        UsageError: one is named that does not.
    """
    for state in folder.rglob("state.json"):
        try:
            named = [
                file["filename"] for file in json.loads(state.read_text(encoding="utf-8"))["_data_files"]
            ]
        except (ValueError, KeyError, TypeError) as error:
            raise UsageError(f"data.path: {shown_path(state)} cannot be read: {error}") from error
        for name in map(str, named):
            if Path(name).name != name:
                raise UsageError(f"data.path: {shown_path(state)} names {name}, which does not lie beside it")


def open_saved(folder: Path) -> dict[str, Table]:
    """Its splits, mapped from their files; a data set without splits is `train`.

    Raises:
        UsageError: it cannot be loaded.
    """
    title = shown_path(folder)
    expect_own(folder)
    try:
        loaded = quiet_datasets().load_from_disk(str(folder), keep_in_memory=False)
    except Exception as error:
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        raise UsageError(
            f"data.path: the data set that was saved in {title} cannot be loaded: {reason}. "
            "Save it again with save_to_disk."
        ) from error
    splits = loaded if isinstance(loaded, dict) else {"train": loaded}
    return {split: DatasetTable(title, split, rows) for split, rows in splits.items()}
