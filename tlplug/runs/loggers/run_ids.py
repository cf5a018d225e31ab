"""Store the ids of a run at its services in loggers.json, so that a resumed run logs to the same ones."""

from __future__ import annotations

import json
import re
from pathlib import Path

from tlplug.errors import UsageError
from tlplug.runtime.files import atomic_write

FILE, VERSION = "loggers.json", 1
ID = re.compile(r"[A-Za-z0-9_-]{1,64}")


class Kept:
    """Read and write the ids of a run by the name of the service.

    Args:
        folder: the run directory.

    Raises:
        UsageError: the file is damaged. Ids become part of paths and addresses, so their form is checked.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / FILE
        self.ids: dict[str, str] = self._read() if self.path.is_file() else {}

    def _read(self) -> dict[str, str]:
        try:
            found = json.loads(self.path.read_text(encoding="utf-8"))
            ids = {str(name): str(id_) for name, id_ in found["ids"].items()}
            sound = found["version"] == VERSION and all(ID.fullmatch(id_) for id_ in ids.values())
        except (ValueError, KeyError, TypeError, AttributeError):
            sound = False
        if not sound:
            raise UsageError(f"{self.path} is damaged; without it the run is logged as a new one: delete it")
        return ids

    def get(self, name: str) -> str | None:
        return self.ids.get(name)

    def keep(self, name: str, id_: str) -> None:
        self.ids[name] = id_
        atomic_write(self.path, json.dumps({"version": VERSION, "ids": self.ids}, indent=2) + "\n")
