"""What a report is written from, and how it is asked for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tlplug.reports.blocks import Text
from tlplug.reports.formatting import figure, signed, unit

RUN = "run"
LAYER = "layer/"


@dataclass(frozen=True)
class Material:
    """One run: result.json, its evidence (any of it may be missing) and the lines of predictions.jsonl."""

    result: Mapping[str, Any]
    evidence: Mapping[str, Any]
    rows: Sequence[Mapping[str, Any]]

    @property
    def primary(self) -> str:
        return str(self.result["primary_score"])

    @property
    def scale(self) -> int:
        return int(self.result["display_scale"])

    @property
    def unit(self) -> str:
        """The primary score's name as figures of it are written."""
        return unit(self.primary, self.scale)

    @property
    def sign(self) -> int:
        """What turns a difference of primary scores into a gain."""
        return 1 if self.result["higher_is_better"] else -1

    @property
    def strategy(self) -> str:
        return str(self.result["strategy"])

    @property
    def scratch(self) -> str | None:
        """The baseline that was trained from random weights."""
        name: str | None = self.result["scratch_baseline"]
        return name

    @property
    def described(self) -> Mapping[str, Any]:
        """What metrics say of themselves, by name: the `section` of the report and the `facts`."""
        found: Mapping[str, Any] = self.result.get("metric_facts") or {}
        return found

    def is_measured(self, metric: str) -> bool:
        """Return whether the metric has values, or reasons in place of single values."""
        found = self.result["metrics"].get(metric)
        return bool(found) and not isinstance(found.get("not_measured"), str)

    def why_not(self, metric: str) -> str:
        """Return why a metric was not measured."""
        reason = self.result["metrics"][metric].get("not_measured")
        return reason if isinstance(reason, str) else f"{metric} gave no value"

    def array(self, name: str) -> np.ndarray | None:
        """Evidence of one number a test row; None where it is missing or of other rows than these."""
        found = self.evidence.get(name)
        if found is None or len(found) != len(self.rows):
            return None
        return np.asarray(found, np.float64)

    def list(self, name: str) -> Sequence[Any] | None:
        """Return evidence of one value a test row that is not a number; None as for `array`."""
        found = self.evidence.get(name)
        return found if found is not None and len(found) == len(self.rows) else None

    def opponent(self) -> str | None:
        """Return the baseline that single examples are compared with: the one trained from scratch, else another one that
        was trained, else any."""
        scored = [
            n for n in self.result["baselines"] if self.array(f"example_scores/baseline/{n}") is not None
        ]
        untrained = [name for name in scored if self.result["baseline_cost"].get(name) is None]
        return min(scored, key=lambda name: (name != self.scratch, name in untrained), default=None)

    def score(self, value: float) -> str:
        """Format a primary score."""
        return figure(value, self.scale)

    def points(self, gain: float) -> str:
        """Format a gain of the primary score."""
        return signed(gain, self.scale)


def lack(material: Material, metric: str, what: str) -> Text:
    """Return a text that says that something was not measured, and why."""
    if metric not in material.result["metrics"]:
        later = f"`python -m tlplug metrics RUN metric=[{metric}]`"
        return Text(f"{what}: not measured, for it was not asked for; {later} does it.", "lack")
    return Text(f"{what}: not measured, {material.why_not(metric).removesuffix('.')}.", "lack")


def number(value: float) -> str:
    """Three digits that matter; counts in full."""
    if value == int(value) and abs(value) < 1e15:
        return f"{int(value):,}"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def three(value: float) -> str:
    return f"{value:.3f}"


def plus(value: float) -> str:
    return f"{value:+.3f}"


def percent(value: float) -> str:
    return f"{100 * value:.1f}%"


def points_of(value: float) -> str:
    """Format a difference of shares."""
    return f"{100 * value:+.1f} points"
