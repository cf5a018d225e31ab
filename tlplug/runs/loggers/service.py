"""What a place that runs are logged to has to do, and what it is told."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any, Protocol


class Ending(Enum):
    """How the run ended."""

    FINISHED = "finished"
    FAILED = "failed"
    STOPPED = "stopped"


@dataclass(frozen=True)
class About:
    """Which run it is."""

    folder: Path
    task: str
    strategy: str
    seed: int
    config: Mapping[str, Any]
    """Resolved, without secrets."""
    sweep: str | None = None
    """The name of the sweep that it is a job of."""

    @property
    def name(self) -> str:
        return f"{self.task} {self.strategy} seed {self.seed}"


@dataclass(frozen=True)
class Ended:
    """The end of a run that finished."""

    result: Mapping[str, Any]
    """As in result.json."""
    pictures: Callable[[], Mapping[str, bytes]]
    """PNG files by name; they are drawn when asked for."""
    page: Path
    """report.html."""
    trained: Path
    """The folder of what was trained."""


class Service(Protocol):
    """One place. Whatever it raises is caught by the `Door` before it."""

    name: str

    def start(self) -> None:
        """Open what is written to; asked again where it failed."""

    def row(self, values: Mapping[str, float], step: int) -> None:
        """Losses and scores at a step of the optimizer."""

    def ended(self, ended: Ended) -> None: ...

    def finish(self, ending: Ending) -> str | None:
        """Close it.

        Returns:
            The command that sends what could not be sent.
        """


SUMMARY = ("verdict", "scores", "baselines", "comparisons", "metrics", "cost")
"""What of result.json is the run's summary."""


def summary(result: Mapping[str, Any]) -> dict[str, Any]:
    """The run's summary by the path of its keys; baselines are rows of it, and no runs of their own."""
    return flat({name: result[name] for name in SUMMARY})


def figures(result: Mapping[str, Any]) -> dict[str, float]:
    """Those of the summary that are numbers."""
    return {
        name: float(value)
        for name, value in summary(result).items()
        if isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
    }


def flat(values: Mapping[str, Any], above: str = "", joint: str = "/") -> dict[str, Any]:
    """Nested values by the path of their keys: `verdict/label`."""
    found: dict[str, Any] = {}
    for name, value in values.items():
        path = f"{above}{name}"
        found |= flat(value, f"{path}{joint}", joint) if isinstance(value, Mapping) else {path: value}
    return found
