"""The JSON file beside saved weights that says what they are."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tlplug import UsageError

VERSION = 1


def write_form(path: Path, **form: Any) -> None:
    path.write_text(json.dumps({"version": VERSION, **form}, indent=2) + "\n", encoding="utf-8")


def read_form(path: Path) -> dict[str, Any]:
    """What `write_form` wrote.

    Raises:
        UsageError: in another version of the format.
    """
    form: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    if form["version"] != VERSION:
        raise UsageError(f"{path}: format version {form['version']}; this tlplug reads version {VERSION}")
    return form
