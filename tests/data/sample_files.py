"""Data sets to read, and the ways to read them that the tests of `tlplug.data` share."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tlplug.data.read import read_splits
from tlplug.data.split import Split
from tlplug.errors import UsageError
from tlplug.settings import DataSettings, SplitSettings

WANTED = {"text": "what is classified", "label": "its class"}


def settings(path: object, *, columns: dict[str, str] | None = None, **more: Any) -> DataSettings:
    splits = SplitSettings(**{"validation": 0.2, "test": 0.2} | more.pop("splits", {}))
    return DataSettings(path=str(path), columns=columns or {}, splits=splits, **more)


def jsonl(path: Path, rows: list[Any]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def numbered(count: int, mark: str = "t") -> list[dict[str, str]]:
    return [{"text": f"{mark}{i}", "label": str(i % 2)} for i in range(count)]


def texts(split: Split) -> list[str]:
    return [row["text"] for row in split]


def whole(path: Path, columns: dict[str, str] | None = None, wanted: dict[str, str] = WANTED) -> Split:
    """All rows of one file."""
    splits = {"train": str(path), "validation": str(path), "test": str(path)}
    return read_splits(settings(path, columns=columns, splits=splits), wanted)["train"]


def failure(path: object, **more: Any) -> str:
    with pytest.raises(UsageError) as caught:
        read_splits(settings(path, **more), WANTED)
    return str(caught.value)
