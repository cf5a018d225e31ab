"""Measure the mutual information of features and classes by coding rates."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from tlplug_plugins.metrics.statistics.array_checks import centered, classes_of, matrix
from tlplug_plugins.metrics.statistics.layer_metrics import LabelledFeatures

EPSILON = 1e-4


class TransRate(LabelledFeatures):
    """Mutual information of features and classes, by coding rates.

    R(Z) - sum_c n_c / p R(Z_c) with R(Z) = 1/2 log det(I + Z^T Z / (n epsilon)) for the n rows of Z, Z [p, D] all
    features and Z_c those of class c, in nats (Huang et al. 2022, "Frustratingly easy transferability estimation"). At
    least 0; higher is better. Features are centred over all rows and then scaled so that the squared norm of a row is 1
    in the mean, so that `epsilon`, the squared distortion, means the same for every model and a rotation, a scale or a
    shift of the features changes nothing. The authors' program gives each class the weight 1 / K, which is the same
    where classes are of one size. Classes with few rows against D have a short code whatever the features are: compare on
    the same rows. What a class's code costs goes by second moments around the mean of all rows, so two classes of one size
    whose means lie opposite each other cost the same together as apart: a difference of their means is not seen.
    Constant features give 0. One class: not measured.
    """

    contract = 1

    @dataclass
    class Config:
        epsilon: float = EPSILON

        def __post_init__(self) -> None:
            if not self.epsilon > 0.0:
                raise ValueError(f"epsilon is {self.epsilon}; it must be above 0")

    def of_layer(self, features: np.ndarray, labels: np.ndarray) -> float:
        return transrate(features, labels, self.config.epsilon)


def transrate(features: Any, labels: Any, epsilon: float = EPSILON) -> float:
    """Return TransRate of features [N, D] and labels [N], in nats: see `TransRate`.

    Raises:
        ValueError: wrong shapes, values that are not finite, or an epsilon that is not above 0.
        NotMeasured: all labels are the same.
    """
    rows = centered(matrix(features))
    classes = classes_of(labels, len(rows))
    if not epsilon > 0.0:
        raise ValueError(f"epsilon is {epsilon}; it must be above 0")
    rows = rows / (np.sqrt((rows**2).sum() / len(rows)) or 1.0)
    within = [(classes == each).mean() * coding_rate(rows[classes == each], epsilon) for each in set(classes)]
    return coding_rate(rows, epsilon) - float(sum(within))


def coding_rate(rows: np.ndarray, epsilon: float) -> float:
    count, width = rows.shape
    # det(I + A^T A) = det(I + A A^T): the smaller of the two.
    gram = rows.T @ rows if width <= count else rows @ rows.T
    return float(np.linalg.slogdet(np.eye(len(gram)) + gram / (count * epsilon))[1]) / 2.0
