"""Define the interface of logging services and the data that they receive."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any, Protocol


class Ending(Enum):
    """The three ways in which a run can end."""

    FINISHED = "finished"
    FAILED = "failed"
    STOPPED = "stopped"


@dataclass(frozen=True)
class About:
    """The description of a run that a service receives at its start."""

    folder: Path
    task: str
    strategy: str
    seed: int
    config: Mapping[str, Any]
    """The resolved config without secrets."""
    sweep: str | None = None
    """Name of the sweep that the run belongs to, if any."""

    @property
    def name(self) -> str:
        return f"{self.task} {self.strategy} seed {self.seed}"


@dataclass(frozen=True)
class Ended:
    """The results of a finished run, for services."""

    result: Mapping[str, Any]
    """The content of result.json."""
    pictures: Callable[[], Mapping[str, bytes]]
    """Draws the charts and returns them as PNG files by name."""
    page: Path
    """Path of report.html."""
    trained: Path
    """Folder of the trained weights."""


class Service(Protocol):
    """A service that a run is logged to. The `Door` in front of it catches its exceptions."""

    name: str

    def start(self) -> None:
        """Open the connection or file; called again after a failure."""

    def row(self, values: Mapping[str, float], step: int) -> None:
        """Log losses and scores at an optimizer step."""

    def ended(self, ended: Ended) -> None: ...

    def finish(self, ending: Ending) -> str | None:
        """Close the connection or file.

        Returns:
            The command that uploads what could not be sent, or None.
        """


SUMMARY = ("verdict", "scores", "baselines", "comparisons", "metrics", "cost")
"""Keys of result.json that form the summary of a run."""


def summary(result: Mapping[str, Any]) -> dict[str, Any]:
    """Return the summary of a run by the path of its keys; baselines are part of it, not runs of their own."""
    return flat({name: result[name] for name in SUMMARY})


def figures(result: Mapping[str, Any]) -> dict[str, float]:
    """Return the finite numbers of the summary."""
    return {
        name: float(value)
        for name, value in summary(result).items()
        if isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
    }


def flat(values: Mapping[str, Any], above: str = "", joint: str = "/") -> dict[str, Any]:
    """Return nested values by the path of their keys, such as `verdict/label`."""
    found: dict[str, Any] = {}
    for name, value in values.items():
        path = f"{above}{name}"
        found |= flat(value, f"{path}{joint}", joint) if isinstance(value, Mapping) else {path: value}
    return found
