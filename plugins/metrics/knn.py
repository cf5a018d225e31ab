"""Measure how often a row's nearest neighbours are of its class."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from tlplug import NotMeasured
from tlplug_plugins.metrics.statistics.array_checks import centered, classes_of, matrix, one_hot
from tlplug_plugins.metrics.statistics.layer_metrics import LabelledFeatures

BLOCK = 512
TIE = 1e-12
"""The relative tolerance in which squared distances are equal, against the largest squared norm."""


class KNN(LabelledFeatures):
    """How often the k nearest other rows vote for a row's own class.

    Leave-one-out accuracy of k nearest neighbours by Euclidean distance of the features [p, D], against classes [p]
    (Cover & Hart 1967). From 0 to 1; higher is better. A rotation, a scale or a shift of the features changes nothing,
    nor does the order of rows or classes: other rows as near as the k-th vote too, and a row whose class is one of n
    with the most votes counts 1/n. With constant features thus all other rows vote. The only row of its class is
    always wrong. Fewer than k + 1 rows, or one class: not measured.
    """

    contract = 1

    @dataclass
    class Config:
        k: int = 5

        def __post_init__(self) -> None:
            if self.k < 1:
                raise ValueError(f"k is {self.k}; it must be at least 1")

    def of_layer(self, features: np.ndarray, labels: np.ndarray) -> float:
        return knn(features, labels, self.config.k)


def knn(features: Any, labels: Any, k: int) -> float:
    """Return the leave-one-out accuracy of the k nearest by Euclidean distance, features [N, D] and labels [N]: see `KNN`.

    Raises:
        ValueError: wrong shapes, values that are not finite, or k below 1.
        NotMeasured: all labels are the same, or there are no k other rows.
    """
    rows = centered(matrix(features))
    membership = one_hot(classes_of(labels, len(rows)))
    if k < 1:
        raise ValueError(f"k is {k}; it must be at least 1")
    if k >= len(rows):
        raise NotMeasured(f"{k} neighbours need at least {k + 1} rows, but there are {len(rows)}")
    squares = (rows**2).sum(axis=1)
    starts = range(0, len(rows), BLOCK)
    return sum(right(rows, squares, membership, slice(start, start + BLOCK), k) for start in starts) / len(
        rows
    )


def right(rows: np.ndarray, squares: np.ndarray, membership: np.ndarray, block: slice, k: int) -> float:
    """Return the number of rows of the block whose vote is their own class."""
    # Less the row's own square, which is the same for all its neighbours.
    distances = (-2.0 * rows[block]) @ rows.T
    distances += squares
    np.fill_diagonal(distances[:, block], np.inf)
    reach = np.partition(distances, k - 1, axis=1)[:, k - 1 : k] + TIE * squares.max()
    votes = (distances <= reach).astype(np.float64) @ membership
    first = votes == votes.max(axis=1, keepdims=True)
    return float((first * membership[block]).sum(axis=1) @ (1.0 / first.sum(axis=1)))
