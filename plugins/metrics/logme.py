"""Measure the evidence of a Bayesian linear model of the classes on the features."""

from __future__ import annotations

from typing import Any

import numpy as np

from tlplug import NotMeasured
from tlplug_plugins.metrics.statistics.array_checks import classes_of, matrix, one_hot
from tlplug_plugins.metrics.statistics.layer_metrics import LabelledFeatures

RATIOS = np.linspace(-16.0, 16.0, 321) * np.log(10.0)
"""The search range of the maximum: the logarithm of (beta / alpha) s_1^2, s_1 the largest singular value. Beyond these
limits float64 cannot distinguish the terms."""


class LogME(LabelledFeatures):
    """How likely the classes are under a Bayesian linear model of the features.

    For each class its one-hot column y [p] is taken to be f w + noise, f [p, D], with w ~ N(0, 1/alpha) and
    noise ~ N(0, 1/beta), and alpha and beta are those of the highest evidence; LogME is the mean over the classes of
    log p(y | f, alpha, beta) / p, in nats a row (You et al. 2021, "LogME: practical assessment of pre-trained models
    for transfer learning"). Any real number; higher is better. It is comparable between models on the same rows only.

    The published iteration goes wrong where there are more features than rows. Here the evidence is maximized itself,
    for any rank. A rotation or a scale of the features changes nothing, for alpha adapts to it; a shift does, as the
    model has no intercept. Features that are 0 have the evidence of pure noise. Where the features fit a class exactly
    and have a rank below p (one-hot features, or equal rows of wide features) the evidence grows without bound as the
    noise goes to 0: not measured, unless a maximum within the reach of float64 is higher. One class: not measured.
    """

    contract = 1

    def of_layer(self, features: np.ndarray, labels: np.ndarray) -> float:
        return logme(features, labels)


def logme(features: Any, labels: Any) -> float:
    """Return LogME of features [N, D] and labels [N], in nats a row: see `LogME`.

    Raises:
        ValueError: wrong shapes, or values that are not finite.
        NotMeasured: all labels are the same, or the features fit a class exactly and no noise is the best.
    """
    features = matrix(features)
    targets = one_hot(classes_of(labels, len(features)))
    directions, sizes, _ = np.linalg.svd(features, full_matrices=False)
    strengths = (sizes / (sizes[0] or 1.0)) ** 2
    along = directions.T @ targets
    rest = ((targets - directions @ along) ** 2).sum(axis=0)
    return float(
        np.mean(
            [
                highest(strengths, z**2, residual, len(features))
                for z, residual in zip(along.T, rest, strict=True)
            ]
        )
    )


def highest(strengths: np.ndarray, along: np.ndarray, rest: float, rows: int) -> float:
    """Return the maximum over alpha and beta of the log evidence per row.

    With f = U S V^T and z = U^T y the covariance of y is (I + r f f^T) / beta, r = beta / alpha, so that beta has a
    closed form for each r, and one number is left to be searched for.

    Args:
        strengths: s_i^2 / s_1^2. along: z_i^2. rest: the part of |y|^2 outside of U.
    """
    from scipy.optimize import minimize_scalar

    def loss(log_ratio: Any) -> Any:
        grown = 1.0 + np.exp(np.expand_dims(log_ratio, -1)) * strengths
        noise = ((along / grown).sum(axis=-1) + rest) / rows
        return 0.5 * (np.log(2.0 * np.pi * noise) + 1.0 + np.log(grown).sum(axis=-1) / rows)

    losses = loss(RATIOS)
    best = int(losses.argmin())
    # Falling by a thousandth of a nat over the last power of ten: it has not settled at a limit.
    if best == len(RATIOS) - 1 and (losses[-11] - losses[-1]) * rows > 1e-3:
        raise NotMeasured("the features fit the classes exactly, so the evidence has no maximum")
    near = RATIOS[max(best - 1, 0)], RATIOS[min(best + 1, len(RATIOS) - 1)]
    return -min(losses[best], minimize_scalar(loss, bounds=near, method="bounded").fun)
