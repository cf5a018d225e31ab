"""Compute the values of all metrics for a model, and cache them."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from tlplug.commands.rank.candidates import Candidate, Shown
from tlplug.commands.rank.features import FEATURES, PROBABILITIES, Look, Telling, look
from tlplug.data.feature_keys import plugin_identity
from tlplug.evaluation.compute_metrics import measure_one
from tlplug.interfaces import Evidence, TransferMetric
from tlplug.runtime import cache

KIND = "ranked"
BEFORE, OF_LAYER = "before", "before/layer/"
NOT_MEASURED = "not_measured"

log = logging.getLogger(__name__)
Values = Mapping[str, Any]


@dataclass(frozen=True)
class Judged:
    """One base model with its metric values, or the error that prevented them."""

    candidate: Candidate
    metrics: Mapping[str, Values] = field(default_factory=dict)
    parameters: int = 0
    layers: int = 0
    seconds: float = 0.0
    kept: bool = False
    error: str | None = None

    def value(self, metric: str) -> float | None:
        """Return the value of a metric on the base model (of the last layer); None if it is not measured."""
        found = self.metrics[metric].get(BEFORE)
        return found if isinstance(found, float) else None

    def why_not(self, metric: str) -> str:
        """Return why a metric has no value."""
        values = self.metrics[metric]
        found = values.get(BEFORE, values)
        return str(found.get(NOT_MEASURED, f"it gives no value {BEFORE!r}"))

    def by_layer(self, metric: str) -> dict[int, float]:
        """Return the values of a metric by layer, without the layers that have none."""
        return {
            int(name.removeprefix(OF_LAYER)): value
            for name, value in self.metrics[metric].items()
            if name.startswith(OF_LAYER) and isinstance(value, float)
        }

    def best_layer(self, metrics: Mapping[str, TransferMetric]) -> dict[str, Any] | None:
        """Return the best layer by the first metric with values of layers, the lowest of equal ones; None without any."""
        name = next((name for name in metrics if self.by_layer(name)), None)
        if name is None:
            return None
        found, sign = self.by_layer(name), 1 if metrics[name].higher_is_better else -1
        layer = max(found, key=lambda layer: (sign * found[layer], -layer))
        return {"layer": layer, "metric": name, "value": found[layer]}


def judged(
    candidate: Candidate, shown: Shown, metrics: Mapping[str, TransferMetric], telling: Telling
) -> Judged:
    """Compute the features and metrics of a model. An error ends this model, not the ranking."""
    begun = time.perf_counter()
    try:
        seen = look(candidate, shown, telling)
        values = Measuring(seen, shown).all(metrics)
    except Exception as error:
        log.exception("%s could not be looked at", candidate.name)
        return Judged(candidate, error=f"{type(error).__name__}: {error}")
    seconds = time.perf_counter() - begun
    return Judged(candidate, values, seen.parameters, seen.layers, seconds, seen.kept)


@dataclass(frozen=True)
class Measuring:
    """Computes all metrics of one model; reads its features only if a metric is not in the cache."""

    seen: Look
    shown: Shown

    def all(self, metrics: Mapping[str, TransferMetric]) -> dict[str, Values]:
        return {name: self._one(name, metric) for name, metric in metrics.items()}

    def _one(self, name: str, metric: TransferMetric) -> Values:
        key = cache.key_of(
            {
                "look": self.seen.key,
                "metric": plugin_identity(metric),
                "classes": [self.shown.classes.tolist(), self.shown.head.labels],
            }
        )
        known: Values | None = cache.read(KIND, key)
        if known is not None:
            return known
        found = measure_one(name, metric, self._evidence)
        # A failure is not cached: it may be temporary, and trying again costs little.
        if NOT_MEASURED not in found:
            cache.write(KIND, key, found)
        return found

    @cached_property
    def _evidence(self) -> Evidence:
        arrays = self.seen.arrays()
        return {
            "features/before": arrays[FEATURES],
            "classes": self.shown.classes,
            "labels": list(self.shown.head.labels),
            "source_probabilities": arrays.get(PROBABILITIES),
            "reasons": {"source_probabilities": self.seen.reason},
        }
