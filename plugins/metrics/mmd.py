"""Measure the maximum mean discrepancy of two domains' features."""

from __future__ import annotations

from typing import Any

import numpy as np

from tlplug import NotMeasured
from tlplug_plugins.metrics.statistics.array_checks import centered, two_domains
from tlplug_plugins.metrics.statistics.layer_metrics import DomainDistance

ROUNDING = 1e-13
"""The share of the largest squared distance below which a distance is 0."""


class MMD(DomainDistance):
    """How far other rows' features are from the task's: maximum mean discrepancy.

    The unbiased estimate mean k(x, x') + mean k(y, y') - 2 mean k(x, y) over pairs of different rows x [p, D] and
    y [q, D], with k(a, b) = exp(-|a - b|^2 / (2 s^2)) and s the median distance of all pairs of the p + q rows (Gretton et
    al. 2012, "A kernel two-sample test"). It is the square of the MMD, no unit, at most 2 and near 0 for equal
    distributions, where it may be slightly negative, as an unbiased estimate of 0 has to be; no direction is better. A
    rotation, a scale or a shift of all rows changes nothing. Fewer than two rows on a side, or half of all pairs equal,
    so that s is 0 (as with constant features): not measured.
    """

    contract = 1
    title = "mmd"
    meaning = "distance of their distributions; near 0, or slightly below, for equal ones"

    def of_layer(self, task: np.ndarray, other: np.ndarray) -> float:
        return mmd(other, task)


def mmd(source: Any, target: Any, bandwidth: float | None = None) -> float:
    """Return the squared MMD of features [N, D] and [M, D], unbiased: see `MMD`.

    Args:
        bandwidth: s, where it is not to be the median distance.

    Raises:
        ValueError: wrong shapes, values that are not finite, or a bandwidth that is not above 0.
        NotMeasured: a side has one row only, or the median distance is 0.
    """
    source, target = two_domains(source, target)
    if (fewest := min(len(source), len(target))) < 2:
        raise NotMeasured(f"each side needs at least 2 rows, and one has {fewest}")
    if bandwidth is not None and not bandwidth > 0.0:
        raise ValueError(f"bandwidth is {bandwidth}; it must be above 0")
    squares = squared_distances(np.concatenate([source, target]))
    kernel = np.exp(-squares / (2.0 * (median_square(squares) if bandwidth is None else bandwidth**2)))
    first = len(source)
    return (
        mean_off_diagonal(kernel[:first, :first])
        + mean_off_diagonal(kernel[first:, first:])
        - 2.0 * float(kernel[:first, first:].mean())
    )


def squared_distances(rows: np.ndarray) -> np.ndarray:
    from sklearn.metrics.pairwise import euclidean_distances

    squares = euclidean_distances(centered(rows), squared=True)
    # Equal rows come out as far apart as float64 is off.
    squares[squares < ROUNDING * squares.max()] = 0.0
    return squares


def median_square(squares: np.ndarray) -> float:
    """Return the square of the median distance of all pairs of different rows."""
    median = float(np.median(np.sqrt(squares[np.triu_indices(len(squares), 1)]))) ** 2
    if median == 0.0:
        raise NotMeasured("the median distance of the rows is 0, because half of all pairs or more are equal")
    return median


def mean_off_diagonal(kernel: np.ndarray) -> float:
    """Return the mean over pairs of different rows."""
    count = len(kernel)
    return float((kernel.sum() - np.trace(kernel)) / (count * (count - 1)))
