"""Which launcher goes with which settings."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tlplug.settings import LocalSettings, RaySettings, SlurmSettings
from tlplug.sweep.engine import Launcher


def launcher_of(settings: Any, folder: Path, at_once: int) -> Launcher:
    """Imports what it needs, and no other engine.

    Args:
        folder: of the sweep.
        at_once: how many jobs run at the same time.
    """
    if isinstance(settings, SlurmSettings):
        from tlplug.sweep.slurm import Slurm

        return Slurm(settings, folder)
    if isinstance(settings, RaySettings):
        from tlplug.sweep.ray import Ray

        return Ray(settings, folder)
    from tlplug.sweep.local import Local

    assert isinstance(settings, LocalSettings)
    return Local(settings, folder, at_once)
