"""Measure the share of the features' variance that the classes explain."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from tlplug_plugins.metrics.statistics.array_checks import centered, classes_of, matrix, one_hot
from tlplug_plugins.metrics.statistics.layer_metrics import LabelledFeatures


class HScore(LabelledFeatures):
    """Variance of the classes' mean features relative to that of the features.

    H = trace(pinv(cov(f)) cov(E[f | y])) with features f [p, D] and classes y [p] (Bao et al. 2019, "An
    information-theoretic approach to transferability in task transfer learning"). It is the sum of the squared canonical
    correlations of the features and the one-hot classes. From 0, where all classes have the same mean, to K - 1 for K
    classes; higher is better, no unit. A rotation, a scale or a shift of the features changes nothing.

    Where there are as many features as rows, or nearly, the plain score is K - 1 or close to it whatever the classes
    are. At most 512 rows are recorded and features are often wider, so `shrinkage` is on unless it is turned off:
    trace(pinv(cov_a(f)) (1 - a) cov(E[f | y])) with cov_a(f) = (1 - a) cov(f) + a trace(cov(f)) / D I and a by Ledoit &
    Wolf 2004 (Ibrahim et al. 2021, "Newer is not always better"). Constant features score 0. One class is not measured.
    """

    contract = 1

    @dataclass
    class Config:
        shrinkage: bool = True

    def of_layer(self, features: np.ndarray, labels: np.ndarray) -> float:
        return h_score(features, labels, self.config.shrinkage)


def h_score(features: Any, labels: Any, shrinkage: bool = False) -> float:
    """Return the H-score of features [N, D] and labels [N], regularized where `shrinkage` is set: see `HScore`.

    Raises:
        ValueError: wrong shapes, or values that are not finite.
        NotMeasured: all labels are the same.
    """
    features = matrix(features)
    classes = classes_of(labels, len(features))
    rows = centered(features)
    directions, sizes, _ = np.linalg.svd(rows, full_matrices=False)
    varies = sizes > np.finfo(np.float64).eps * max(rows.shape) * np.linalg.norm(features)
    between = explained(directions[:, varies], classes)
    return float(shrinkage_factors(rows, sizes[varies]) @ between if shrinkage else between.sum())


def explained(directions: np.ndarray, classes: np.ndarray) -> np.ndarray:
    """Return the share of each direction's variance that lies between the classes.

    With f = U S V^T centred, pinv(cov(f)) cov(E[f | y]) has the trace of U^T P U, P the mean over each row's class: no
    covariance has to be inverted, and whether the divisor is N or N - 1 does not matter.
    """
    membership = one_hot(classes)
    return ((membership.T @ directions) ** 2 / membership.sum(axis=0)[:, None]).sum(axis=0)


def shrinkage_factors(rows: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """Return the share of each direction's variance that remains after shrinking the covariance."""
    from sklearn.covariance import ledoit_wolf_shrinkage

    amount = ledoit_wolf_shrinkage(rows, assume_centered=True)
    own = (1.0 - amount) * sizes**2
    return own / (own + amount * (rows**2).sum() / rows.shape[1])
