"""Convert and check the arrays of formulas on features."""

from __future__ import annotations

from typing import Any

import numpy as np

from tlplug import NotMeasured


def matrix(values: Any, name: str = "features") -> np.ndarray:
    """Return the values as float64 [N, D].

    Raises:
        ValueError: the values are no matrix, are empty, or are not all finite.
    """
    array = np.asarray(values, np.float64)
    if array.ndim != 2 or not array.size:
        raise ValueError(
            f"{name} have the shape {array.shape}; they must be [rows, dimensions], neither of them 0"
        )
    if not np.isfinite(array).all():
        raise ValueError(f"{name} have values that are not finite")
    return array


def class_indices(labels: Any, rows: int, name: str = "labels") -> np.ndarray:
    """Return the classes as int64 [rows], numbered from 0 without a gap.

    Raises:
        ValueError: the labels are not one class for each row.
    """
    array = np.asarray(labels)
    if array.shape != (rows,):
        raise ValueError(f"{name} have the shape {array.shape}; they must be one for each of {rows} rows")
    if array.dtype.kind == "f" and not (np.isfinite(array).all() and (array == np.round(array)).all()):
        raise ValueError(f"{name} must be classes, not fractions or infinite values")
    return np.unique(array, return_inverse=True)[1]


def classes_of(labels: Any, rows: int) -> np.ndarray:
    """Return the classes as `class_indices` does, if there are two or more.

    Raises:
        NotMeasured: there is only one class.
    """
    classes = class_indices(labels, rows)
    if not classes.any():
        raise NotMeasured("all rows are of one class")
    return classes


def one_hot(classes: np.ndarray) -> np.ndarray:
    """Return float64 [N, K], 1 at each row's class."""
    return np.eye(classes.max() + 1)[classes]


def centered(features: np.ndarray) -> np.ndarray:
    """Return the features minus their means, and exactly 0 for a constant column."""
    centred = features - features.mean(axis=0)
    centred[:, np.ptp(features, axis=0) == 0.0] = 0.0
    return centred


def two_domains(source: Any, target: Any) -> tuple[np.ndarray, np.ndarray]:
    """Return two matrices [N, D] and [M, D].

    Raises:
        ValueError: their rows are not of one length.
    """
    first, second = matrix(source, "source features"), matrix(target, "target features")
    if first.shape[1] != second.shape[1]:
        raise ValueError(
            f"source features have {first.shape[1]} dimensions and target features {second.shape[1]}"
        )
    return first, second
