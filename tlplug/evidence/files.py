"""Evidence in a folder: arrays in one safetensors file, the rest as JSON, and an index of both."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from tlplug.cache import whole_folder
from tlplug.contracts import Evidence

FOLDER = "evidence"
"""Where it lies in a run directory."""
VERSION = 1
INDEX, ARRAYS, VALUES = "index.json", "arrays.safetensors", "values.json"
LARGE = ("predictions/",)
"""What has a JSON file of its own."""


def write(evidence: Evidence, folder: Path) -> None:
    """All of it, into a folder that is not there yet; nothing is left where it fails."""
    from safetensors.numpy import save_file

    arrays = {
        name: np.ascontiguousarray(value) for name, value in evidence.items() if isinstance(value, np.ndarray)
    }
    values = {name: value for name, value in evidence.items() if name not in arrays}
    files = {name: file_of(name) for name in values}
    index = {"version": VERSION, "entries": dict(sorted({**dict.fromkeys(arrays, ARRAYS), **files}.items()))}
    with whole_folder(folder) as beside:
        save_file(arrays, beside / ARRAYS)
        for file in set(files.values()):
            put(beside / file, {name: value for name, value in values.items() if files[name] == file})
        put(beside / INDEX, index, indent=2)


def file_of(name: str) -> str:
    return f"{name.replace('/', '.')}.json" if name.startswith(LARGE) else VALUES


def put(path: Path, value: Mapping[str, Any], indent: int | None = None) -> None:
    path.write_text(json.dumps(value, indent=indent, default=in_json) + "\n", encoding="utf-8")


def in_json(value: Any) -> Any:
    """numpy's numbers, which plugins may hand over, as plain ones."""
    if isinstance(value, np.generic | np.ndarray):
        return value.tolist()
    raise TypeError(f"{type(value).__name__} {value!r} is no JSON value")


def read(folder: Path) -> dict[str, Any]:
    """What `write` wrote.

    Raises:
        ValueError: the folder was written in another version of the format, or names files that are not its own.
    """
    from safetensors.numpy import load_file

    index = json.loads((folder / INDEX).read_text(encoding="utf-8"))
    if index["version"] != VERSION:
        raise ValueError(
            f"{folder / INDEX}: evidence version {index['version']}; this tlplug reads {VERSION}"
        )
    found: dict[str, Any] = load_file(folder / ARRAYS)
    for file in set(index["entries"].values()) - {ARRAYS}:
        if Path(file).name != file:
            raise ValueError(f"{folder / INDEX} names {file}, which does not lie beside it")
        found |= json.loads((folder / file).read_text(encoding="utf-8"))
    return {name: found[name] for name in index["entries"]}
