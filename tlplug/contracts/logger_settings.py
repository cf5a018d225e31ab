"""What a user types about the places that a run is logged to. The only home of these defaults."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Optional


@dataclass
class CsvSettings:
    """metrics.csv in the run directory."""


@dataclass
class WandbSettings:
    """Weights & Biases: one W&B run for the run, written offline where there is no key."""

    project: str = "tlplug"
    entity: Optional[str] = None
    group: Optional[str] = None
    tags: list[str] = field(default_factory=list)
    offline: bool = False


LOGGERS: dict[str, type] = {"csv": CsvSettings, "wandb": WandbSettings}
