"""Read and write the JSON file that describes saved weights."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tlplug import UsageError

VERSION = 1


def write_config(path: Path, **values: Any) -> None:
    path.write_text(json.dumps({"version": VERSION, **values}, indent=2) + "\n", encoding="utf-8")


def read_config(path: Path) -> dict[str, Any]:
    """Read a file of `write_config`.

    Raises:
        UsageError: the file has another version of the format.
    """
    config: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    if config["version"] != VERSION:
        raise UsageError(f"{path}: format version {config['version']}; this tlplug reads version {VERSION}")
    return config
