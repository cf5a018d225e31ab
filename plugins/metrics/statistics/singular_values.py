"""Compute singular values and vectors of a changed matrix, and its ranks."""

from __future__ import annotations

import numpy as np

K, EPSILON = 10, 0.5
"""The defaults of `intruder_dimensions`, those of its authors."""


def singular_values(
    before: np.ndarray, after: np.ndarray, factors: tuple[np.ndarray, np.ndarray] | None
) -> np.ndarray:
    """Return the singular values of the change, descending; from r x r numbers if it comes in factors."""
    from scipy.linalg import svdvals  # type: ignore[import-untyped]

    if factors is None:
        first, second = (np.asarray(matrix, np.float64) for matrix in (before, after))
        if first.shape != second.shape or first.ndim != 2 or not first.size:
            raise ValueError(f"before and after must be [m, n], the same; got {first.shape}, {second.shape}")
        values: np.ndarray = svdvals(second - first)
        return values
    left, right = (np.asarray(factor, np.float64) for factor in factors)
    if (len(left), right.shape[1]) != np.shape(before) or left.shape[1] != len(right):
        raise ValueError(f"factors {left.shape}, {right.shape} give no change of {np.shape(before)}")
    core: np.ndarray = svdvals(np.linalg.qr(left, mode="r") @ np.linalg.qr(right.T, mode="r").T)
    return core


def effective_rank(values: np.ndarray) -> float:
    """Return exp of the entropy of singular values that are not all 0 (Roy & Vetterli 2007)."""
    shares = values[values > 0] / values.sum()
    return float(np.exp(-(shares * np.log(shares)).sum()))


def stable_rank(values: np.ndarray) -> float:
    """Return the sum of squares over the largest square, of singular values that are not all 0."""
    return float(np.square(values / values.max()).sum())


def intruder_dimensions(before: np.ndarray, after: np.ndarray, k: int = K, epsilon: float = EPSILON) -> int:
    """Return how many of the k leading left singular vectors of `after` are similar to none of `before`.

    Similar means an absolute cosine of at least epsilon with one left singular vector; a vector's sign is arbitrary. As
    Shuttleworth et al. 2024, "LoRA vs full fine-tuning: an illusion of equivalence", Algorithm 1, with their k = 10
    and epsilon = 0.5. Only vectors with a singular value above 1e-7 of the largest are taken as a matrix's own. Where
    singular values coincide their vectors are arbitrary, and so is what is like them.
    """
    if np.array_equal(before, after):
        return 0
    old, new = left_vectors(before), left_vectors(after, k)
    return int((np.abs(old.T @ new).max(0, initial=0.0) < epsilon).sum())


def left_vectors(matrix: np.ndarray, count: int | None = None) -> np.ndarray:
    """Return the left singular vectors [m, count], the leading ones first, by the smaller and cheaper Gram matrix."""
    from scipy.linalg import eigh  # type: ignore[import-untyped]

    wide = np.asarray(matrix, np.float64)
    tall = wide.shape[0] > wide.shape[1]
    gram = wide.T @ wide if tall else wide @ wide.T
    side = len(gram)
    leading = [side - min(count, side), side - 1] if count else None
    values, vectors = eigh(gram, subset_by_index=leading)
    # Below this an eigenvalue may be nothing but the Gram matrix's rounding.
    real = values > 1e-14 * max(values.max(), 0.0)
    vectors = vectors[:, real][:, ::-1]
    return wide @ vectors / np.sqrt(values[real][::-1]) if tall else vectors
