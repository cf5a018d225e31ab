"""Warn where a run is used with other versions of its plugins."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from tlplug.interfaces.registry import Plugin

log = logging.getLogger(__name__)


def warn_of_versions(folder: Path, record: Mapping[str, Any], plugins: Iterable[Plugin]) -> None:
    """Log what `version_warnings` says of the run in `folder`."""
    for warning in version_warnings(record, plugins):
        log.warning("%s: %s", folder, warning)


def version_warnings(record: Mapping[str, Any], plugins: Iterable[Plugin]) -> list[str]:
    """Return a warning for each distribution whose version is not the one that the run was made with.

    Args:
        record: the run's run.json or result.json; their `plugins` are read.
        plugins: those of the run that are used now.
    """
    then = {(p["kind"], p["name"]): p for p in record.get("plugins", ())}
    warnings: dict[str, str] = {}
    for plugin in plugins:
        was = then.get((plugin.kind, plugin.name))
        if was is None or (was["distribution"], was["version"]) == (plugin.distribution, plugin.version):
            continue
        before, now = (
            f"{name} {version}".strip()
            for name, version in (
                (was["distribution"], was["version"]),
                (plugin.distribution, plugin.version),
            )
        )
        warnings.setdefault(
            f"{before} {now}",
            f"{plugin.kind} {plugin.name!r} was of {before} when the run was made and is of {now} now: "
            "what it does may be another thing",
        )
    return list(warnings.values())
