"""Measure the distance of the feature covariances of two domains."""

from __future__ import annotations

from typing import Any

import numpy as np

from tlplug import NotMeasured
from tlplug_plugins.metrics.statistics.array_checks import centered, two_domains
from tlplug_plugins.metrics.statistics.layer_metrics import DomainDistance


class CoralDistance(DomainDistance):
    """Difference of the feature covariances of other rows and of the task's.

    |C_s - C_t|_F^2 / (4 D^2) with C_s, C_t [D, D] the covariances of the features (divisor rows - 1; Sun & Saenko 2016,
    "Deep CORAL"). At least 0; no direction is better. In the fourth power of the features' unit: features scaled by c
    have c^4 times the distance, so compare layers and models with care. A rotation changes nothing, nor a shift of
    either side: it does not see where the means are. Fewer than two rows on a side: not measured. Constant features: 0.
    """

    contract = 1
    title = "coral_distance"
    meaning = "difference of their feature covariances: 0 is equal"

    def of_layer(self, task: np.ndarray, other: np.ndarray) -> float:
        return coral_distance(other, task)


def coral_distance(source: Any, target: Any) -> float:
    """Return the CORAL distance of features [N, D] and [M, D]: see `CoralDistance`.

    Raises:
        ValueError: wrong shapes, or values that are not finite.
        NotMeasured: a side has one row only, which has no covariance.
    """
    source, target = two_domains(source, target)
    if (fewest := min(len(source), len(target))) < 2:
        raise NotMeasured(f"each side needs at least 2 rows, and one has {fewest}")
    difference = covariance(source) - covariance(target)
    return float((difference**2).sum() / (4.0 * source.shape[1] ** 2))


def covariance(features: np.ndarray) -> np.ndarray:
    rows = centered(features)
    return rows.T @ rows / (len(rows) - 1)
