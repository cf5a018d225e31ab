"""Open data sets with the `datasets` library: saved in a folder, from the hub, or the first rows of a stream."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

from tlplug.data.messages import shown_path
from tlplug.data.readers.arrow_store import temporary_folder
from tlplug.data.readers.arrow_types import quiet_datasets
from tlplug.data.readers.files_table import FilesTable
from tlplug.errors import UsageError, did_you_mean
from tlplug.settings import DataSettings


@dataclass(frozen=True, eq=False)
class DatasetTable:
    """A split of a data set, mapped from the files of `datasets`."""

    source: str
    """The data set's id or folder."""
    split: str
    rows: Any = field(repr=False)

    @property
    def title(self) -> str:
        """The split and its source, for messages."""
        return f"split '{self.split}' of {self.source}"

    def columns(self) -> list[str]:
        """Return the data set's columns."""
        return list(self.rows.column_names)

    def broken(self) -> list[str]:
        """Return nothing: `datasets` has read all rows."""
        return []

    def kinds(self, column: str) -> dict[str, str]:
        """Return nothing: a column has one type."""
        return {}

    def place(self, row: int) -> str:
        """Return where the row at this position is; rows are counted from 1."""
        return f"{self.title}, row {row + 1}"

    def load(self, columns: list[str]) -> Any:
        """Return the whole split; nothing is copied."""
        return self.rows


class StreamTable(DatasetTable):
    """A split of a hub data set that is not downloaded; `take_rows` takes rows from it."""

    def take_rows(self, limit: int) -> DatasetTable:
        """Return the first `limit` rows, which are written to a temporary file.

        Raises:
            UsageError: they cannot be read.
        """
        stream = self.rows.take(limit)
        try:
            folder = mkdtemp(dir=temporary_folder())
            rows = quiet_datasets().Dataset.from_generator(
                stream.__iter__, features=stream.features, cache_dir=folder
            )
        except Exception as error:
            raise UsageError(_unreachable(self.source, error.__cause__ or error)) from error
        return DatasetTable(self.source, self.split, rows)


Table = FilesTable | DatasetTable
"""Rows under column names, not yet read."""


def open_hub(settings: DataSettings) -> dict[str, Table]:
    """Return the splits of the data set whose id `data.path` is.

    Raises:
        UsageError: it cannot be loaded.
    """
    streaming = {"streaming": True} if settings.streaming else {}
    try:
        loaded = quiet_datasets().load_dataset(
            settings.path, settings.subset, revision=settings.revision, **streaming
        )
    except Exception as error:
        raise UsageError(_unreachable(settings.path, error)) from error
    table = StreamTable if settings.streaming else DatasetTable
    return {split: table(settings.path, split, rows) for split, rows in loaded.items()}


def take_rows(
    tables: Mapping[str, Table], fractions: Mapping[str, float], limits: Mapping[str, int | None]
) -> dict[str, Table]:
    """Return the tables with the first `data.limit.*` rows in place of each stream.

    Raises:
        UsageError: a stream has no limit, or a fraction is to be drawn out of it; all of them at once.
    """
    streams = {name: table for name, table in tables.items() if isinstance(table, StreamTable)}
    if problems := [problem for name in streams if (problem := _unlimited(name, fractions, limits))]:
        raise UsageError("\n".join(problems))
    return {**tables, **{name: table.take_rows(limits[name] or 0) for name, table in streams.items()}}


def _unlimited(name: str, fractions: Mapping[str, float], limits: Mapping[str, int | None]) -> str | None:
    if name in fractions:
        return (
            f"data.splits.{name}={fractions[name]:g}: no fraction can be drawn out of a stream, whose length is not "
            f"known. Set data.splits.{name} to a split or a file, or data.streaming=false."
        )
    if limits[name] is None:
        return (
            f"data.limit.{name} is null, and data.streaming=true reads a stream up to that many rows. "
            f"Set data.limit.{name}=1000, say."
        )
    return None


def _unreachable(path: str, error: BaseException) -> str:
    near = did_you_mean(path, (file.name for file in Path.cwd().iterdir()))
    offline = [key for key in ("HF_HUB_OFFLINE", "HF_DATASETS_OFFLINE") if os.environ.get(key, "0") != "0"]
    why = f" {offline[0]} is set, which forbids downloads: unset it, or name a local path." if offline else ""
    return (
        f"data.path={path} is no file or folder here, and the data set of that id cannot be loaded "
        f"from the hub: {_first_line(error)}.{why}{near}"
    )


def is_saved(folder: Path) -> bool:
    """Return whether `datasets` saved a data set there."""
    names = ("dataset_info.json", "state.json")
    return (folder / "dataset_dict.json").is_file() or all((folder / name).is_file() for name in names)


def open_saved(folder: Path) -> dict[str, Table]:
    """Return the splits of a saved data set; one without splits is `train`.

    Raises:
        UsageError: it cannot be loaded, or names a file that does not lie in it.
    """
    title = shown_path(folder)
    for state in folder.rglob("state.json"):
        _check_state(state)
    try:
        loaded = quiet_datasets().load_from_disk(str(folder), keep_in_memory=False)
    except Exception as error:
        raise UsageError(
            f"data.path: the data set that was saved in {title} cannot be loaded: {_first_line(error)}. "
            "Save it again with save_to_disk."
        ) from error
    splits = loaded if isinstance(loaded, dict) else {"train": loaded}
    return {split: DatasetTable(title, split, rows) for split, rows in splits.items()}


def _check_state(state: Path) -> None:
    try:
        files = [str(file["filename"]) for file in json.loads(state.read_text("utf-8"))["_data_files"]]
    except (ValueError, KeyError, TypeError) as error:
        raise UsageError(f"data.path: {shown_path(state)} cannot be read: {error}") from error
    for name in files:
        if Path(name).name != name:
            raise UsageError(f"data.path: {shown_path(state)} names {name}, which does not lie beside it")


def _first_line(error: BaseException) -> str:
    return next(iter(str(error).splitlines()), type(error).__name__)
