"""The contract of a transfer-quality metric."""

from __future__ import annotations

from collections.abc import Mapping, Set
from dataclasses import dataclass
from typing import Any, ClassVar

Evidence = Mapping[str, Any]
"""What a run recorded, by name: `example_scores/after`, `cost`, ... Arrays and plain JSON values."""


class NotMeasured(Exception):
    """Raised by `measure` where the evidence does not allow a value; says why. Never a 0 in its place."""


class TransferMetric:
    """Judges the transfer from recorded evidence. Entry-point group `tlplug.metrics`."""

    contract: ClassVar[int]
    needs: ClassVar[Set[str]] = frozenset()
    """Names of the evidence it reads. Where one is missing the core reports "not measured"."""
    higher_is_better: ClassVar[bool | None] = None
    """None where neither direction is better."""

    @dataclass
    class Config:
        """The metric's own fields: the only home of their defaults."""

    def __init__(self, config: Any = None) -> None:
        self.config = self.Config() if config is None else config

    def measure(self, evidence: Evidence) -> dict[str, float]:
        """The metric's values by name, computed in float64."""
        raise NotImplementedError
