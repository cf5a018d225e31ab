"""Data sets on the hub: downloaded, or the first rows of a stream."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tlplug.data.readers.arrow_store import hold
from tlplug.data.readers.arrow_types import quiet_datasets
from tlplug.data.readers.table import ROWS, Table
from tlplug.data.readers.typed_table import DatasetTable
from tlplug.errors import UsageError, did_you_mean
from tlplug.settings import DataSettings


@dataclass(frozen=True, eq=False)
class StreamTable(Table):
    """A split of a hub data set that is not downloaded; `heads` takes rows from it."""

    settings: DataSettings
    split: str
    stream: Any = field(repr=False)

    @property
    def title(self) -> str:
        """The split and the data set's id."""
        return f"split '{self.split}' of {self.settings.path}"

    def head(self, limit: int) -> Table:
        """The first `limit` rows, read now.

        Raises:
            UsageError: they cannot be read.
        """
        try:
            rows = hold(self._pieces(limit), self.title, self.place)
        except UsageError:
            raise
        except Exception as error:
            raise UsageError(_unreachable(self.settings, error)) from error
        return DatasetTable(self.settings.path, self.split, rows)

    def _pieces(self, limit: int) -> Iterator[Any]:
        yield from self.stream.take(limit).with_format("arrow").iter(ROWS)


def open_hub(settings: DataSettings) -> dict[str, Table]:
    """The splits of the data set whose id `data.path` is.

    Raises:
        UsageError: it cannot be loaded.
    """
    streaming = {"streaming": True} if settings.streaming else {}
    try:
        loaded = quiet_datasets().load_dataset(
            settings.path, settings.subset, revision=settings.revision, **streaming
        )
    except Exception as error:
        raise UsageError(_unreachable(settings, error)) from error
    if settings.streaming:
        return {split: StreamTable(settings, split, stream) for split, stream in loaded.items()}
    return {split: DatasetTable(settings.path, split, rows) for split, rows in loaded.items()}


def heads(
    tables: Mapping[str, Table], fractions: Mapping[str, float], limits: Mapping[str, int | None]
) -> dict[str, Table]:
    """The tables of the splits, with the first `data.limit.*` rows in place of each stream.

    Raises:
        UsageError: a stream has no limit, or a fraction is to be drawn out of it; all of them at once.
    """
    streams = {name: table for name, table in tables.items() if isinstance(table, StreamTable)}
    if problems := [told for name in streams if (told := _unlimited(name, fractions, limits))]:
        raise UsageError("\n".join(problems))
    taken = {name: table.head(limits[name] or 0) for name, table in streams.items()}
    return {**tables, **taken}


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


def _unreachable(settings: DataSettings, error: Exception) -> str:
    near = did_you_mean(settings.path, (file.name for file in Path.cwd().iterdir()))
    offline = [key for key in ("HF_HUB_OFFLINE", "HF_DATASETS_OFFLINE") if os.environ.get(key, "0") != "0"]
    told = (
        f" {offline[0]} is set, which forbids downloads: unset it, or name a local path." if offline else ""
    )
    reason = next(iter(str(error).splitlines()), type(error).__name__)
    return (
        f"data.path={settings.path} is no file or folder here, and the data set of that id cannot be loaded "
        f"from the hub: {reason}.{told}{near}"
    )
