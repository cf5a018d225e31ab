"""What the formulas on features take: float64, finite, of the right shape."""

from __future__ import annotations

from typing import Any

import numpy as np

from tlplug import NotMeasured


def matrix(values: Any, name: str = "features") -> np.ndarray:
    """float64 [N, D].

    Raises:
        ValueError: it is no matrix, has no row or no column, or has a value that is not finite.
    """
    found = np.asarray(values, np.float64)
    if found.ndim != 2 or not found.size:
        raise ValueError(
            f"{name} have the shape {found.shape}; they have to be [rows, dimensions], none of them 0"
        )
    if not np.isfinite(found).all():
        raise ValueError(f"{name} have values that are not finite")
    return found


def numbered(labels: Any, rows: int, name: str = "labels") -> np.ndarray:
    """int64 [rows]: the classes numbered from 0 without a gap, so that a class of which there is no row has no number.

    Raises:
        ValueError: it is not one class a row.
    """
    found = np.asarray(labels)
    if found.shape != (rows,):
        raise ValueError(f"{name} have the shape {found.shape}; they have to be one for each of {rows} rows")
    if found.dtype.kind == "f" and not (np.isfinite(found).all() and (found == np.round(found)).all()):
        raise ValueError(f"{name} have to be classes, and these are fractions or not finite")
    return np.unique(found, return_inverse=True)[1]


def classes_of(labels: Any, rows: int) -> np.ndarray:
    """`numbered`, of two classes or more.

    Raises:
        NotMeasured: there is only one class.
    """
    classes = numbered(labels, rows)
    if not classes.any():
        raise NotMeasured("all rows are of one class: there is nothing to tell apart")
    return classes


def members(classes: np.ndarray) -> np.ndarray:
    """float64 [N, K], 1 where the row is of the class."""
    return np.eye(classes.max() + 1)[classes]


def centered(features: np.ndarray) -> np.ndarray:
    """The features less their means. A constant column is exactly 0, which subtracting a rounded mean does not give."""
    found = features - features.mean(axis=0)
    found[:, np.ptp(features, axis=0) == 0.0] = 0.0
    return found


def two_domains(source: Any, target: Any) -> tuple[np.ndarray, np.ndarray]:
    """Two matrices [N, D] and [M, D].

    Raises:
        ValueError: their rows are not of one length.
    """
    first, second = matrix(source, "source features"), matrix(target, "target features")
    if first.shape[1] != second.shape[1]:
        raise ValueError(
            f"source features have {first.shape[1]} dimensions and target features {second.shape[1]}"
        )
    return first, second
