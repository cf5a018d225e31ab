"""Name the plugin that an exception comes from."""

from __future__ import annotations

import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import FrameType
from typing import Any

from tlplug.errors import TrainingFailed, UsageError

SHARED = "tlplug_plugins"
"""The package of the built-in plugins. It holds several, so the object alone identifies the plugin of a frame."""


@contextmanager
def name_plugin_in_errors(plugins: Sequence[Any]) -> Iterator[None]:
    """Add the plugin, its distribution and version to an exception that a plugin's code raises.

    Args:
        plugins: `registry.Plugin`s of the run.
    """
    try:
        yield
    except (UsageError, TrainingFailed):
        raise
    except Exception as error:
        frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
        raiser = next(filter(None, (owner(frame, plugins) for frame in reversed(frames))), None)
        note = f"It was raised in {raiser}."
        if raiser is not None and note not in getattr(error, "__notes__", ()):
            error.add_note(note)
        raise


def owner(frame: FrameType, plugins: Sequence[Any]) -> Any | None:
    """Return the plugin whose method or package the frame belongs to."""
    module = str(frame.f_globals.get("__name__", ""))
    this = frame.f_locals.get("self")
    classes = [(plugin, plugin.load()) for plugin in plugins]
    for plugin, cls in classes:
        if isinstance(this, cls) and module != "tlplug" and not module.startswith("tlplug."):
            return plugin
    for plugin, cls in classes:
        package = cls.__module__.partition(".")[0]
        if package != SHARED and module.partition(".")[0] == package:
            return plugin
    return None
