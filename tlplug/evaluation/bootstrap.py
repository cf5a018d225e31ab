"""Compare one run with another on the same examples by the paired bootstrap."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Comparison:
    """The mean difference of example scores, run minus baseline, with a 95% interval."""

    difference: float
    low: float
    high: float
    baseline_mean: float
    """The mean of the baseline's example scores."""

    def gain(self, higher_is_better: bool) -> tuple[float, float, float]:
        """Return the difference and its interval's ends, positive for an improvement in either direction of the score."""
        if higher_is_better:
            return self.difference, self.low, self.high
        return -self.difference, -self.high, -self.low


def compare_paired(
    run: Sequence[float], baseline: Sequence[float], resamples: int = 10_000, seed: int = 0
) -> Comparison:
    """Compare two runs by the paired percentile bootstrap over examples (Efron & Tibshirani 1993, ch. 13).

    Args:
        run, baseline: scores of the same n examples in the same order, shape [n].
        resamples: number of bootstrap samples.

    Raises:
        ValueError: the two differ in length, or are empty.
    """
    first, second = np.asarray(run, np.float64), np.asarray(baseline, np.float64)
    if first.shape != second.shape or first.ndim != 1 or not len(first):
        raise ValueError(f"paired scores must be of one length above 0, got {first.shape} and {second.shape}")
    difference = first - second
    means = resampled_means(difference, resamples, np.random.default_rng(seed))
    low, high = np.percentile(means, [2.5, 97.5])
    return Comparison(float(difference.mean()), float(low), float(high), float(second.mean()))


def resampled_means(values: np.ndarray, resamples: int, rng: np.random.Generator) -> np.ndarray:
    """Return the means of bootstrap samples, [resamples], by drawing counts of the distinct values."""
    distinct, counts = np.unique(values, return_counts=True)
    draws = rng.multinomial(len(values), counts / len(values), size=resamples)
    means: np.ndarray = draws @ distinct / len(values)
    return means
