"""Results that later runs can use again, by a hash of all that determines them."""

from __future__ import annotations

import hashlib
import json
import logging
import os
from pathlib import Path
from typing import Any

from tlplug.runtime.files import write_whole

log = logging.getLogger(__name__)


def cache_folder() -> Path:
    """$TLPLUG_CACHE, else $XDG_CACHE_HOME/tlplug, else ~/.cache/tlplug."""
    own = os.environ.get("TLPLUG_CACHE")
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(own) if own else Path(home) / "tlplug"


def key_of(parts: dict[str, Any]) -> str:
    """SHA-256 of the parts as canonical JSON."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()


def read(kind: str, key: str) -> Any | None:
    """The stored JSON value; None where there is none. A damaged entry is reported and made again."""
    path = cache_folder() / kind / f"{key}.json"
    if not path.is_file():
        return None
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        log.warning("%s is damaged (%s); it is made again", path, error)
        return None


def write(kind: str, key: str, value: Any) -> None:
    """Store a JSON value. A cache that cannot be written to costs time later, not this run."""
    path = cache_folder() / kind / f"{key}.json"
    try:
        write_whole(path, json.dumps(value))
    except OSError as error:
        log.warning("%s cannot be written (%s); the next run makes it again", path, error)
