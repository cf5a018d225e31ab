"""Test whether two strategies differ, with p-values corrected for the number of pairs."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

ENOUGH_SEEDS = 3
"""The number of shared seeds from which differences between seeds are part of the test."""
MOST_SUMS, DRAWS, DRAWN_VALUES = 1_000_000, 9_999, 1_000_000
OVER_EXAMPLES = "permutation over examples"
OVER_BOTH = "t over seeds and permutation over examples, the larger p"


def paired_test(gains: Sequence[Sequence[float]] | np.ndarray) -> tuple[float, str]:
    """Return the two-sided p-value of the hypothesis of no difference, and the name of its test.

    With at least three seeds it is the larger of two p-values: of the paired t test over seeds, for whether other seeds
    could undo the difference on these examples, and of the permutation test over examples of their means over seeds, for
    whether other examples could. A difference is significant only where both are (an intersection-union test, Berger
    1982), which keeps the level, and a strategy without randomness does not seem better by one example. With fewer seeds
    the p-value is that over examples only.

    Args:
        gains: differences of scores, [S shared seeds, n examples].
    """
    array = np.asarray(gains, np.float64)
    over_examples = permutation_p(array.mean(0))
    if len(array) < ENOUGH_SEEDS:
        return over_examples, OVER_EXAMPLES
    return max(paired_t(array.mean(1)), over_examples), OVER_BOTH


def paired_t(differences: np.ndarray) -> float:
    """Return the two-sided p-value of Student's paired t test; 1 where no pair differs."""
    from scipy.stats import ttest_1samp  # type: ignore[import-untyped]

    values = np.where(np.abs(differences) < 1e-12, 0.0, differences)
    if not values.any():
        return 1.0
    # All seeds have the same difference, up to rounding.
    if np.ptp(values) < 1e-12 * np.abs(values).max():
        return 0.0
    return float(ttest_1samp(values, 0.0).pvalue)


def permutation_p(differences: np.ndarray, seed: int = 0) -> float:
    """Return P(|sum s_i d_i| >= |sum d_i|) for random signs s_i (Fisher 1935, "The design of experiments").

    Exact where the sums can be listed: equal |d_i| are counted together, so with scores of 0 and 1 of one seed it is
    McNemar's exact test. Otherwise estimated by 9,999 draws plus the observed one (Phipson & Smyth 2010).
    """
    sizes, counts = np.unique(np.round(np.abs(differences), 12), return_counts=True)
    sizes, counts = sizes[sizes > 0], counts[sizes > 0]
    if not len(sizes):
        return 1.0
    least = abs(float(np.sum(differences))) - 1e-9 * float(sizes @ counts)
    if np.prod(counts + 1.0) <= MOST_SUMS:
        sums, chances = list_sums(sizes, counts)
        return min(1.0, float(chances[np.abs(sums) >= least].sum()))
    return (1 + count_extreme_draws(sizes, counts, least, seed)) / (1 + DRAWS)


def list_sums(sizes: np.ndarray, counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return every sum of signed differences and its probability."""
    from scipy.stats import binom

    sums, chances = np.zeros(1), np.ones(1)
    for size, count in zip(sizes, counts, strict=True):
        positive = np.arange(count + 1)
        sums = np.add.outer(sums, size * (2 * positive - count)).ravel()
        chances = np.multiply.outer(chances, binom.pmf(positive, count, 0.5)).ravel()
    return sums, chances


def count_extreme_draws(sizes: np.ndarray, counts: np.ndarray, least: float, seed: int) -> int:
    """Count the drawn sums that are at least as far from zero, drawing in parts to limit memory."""
    rng, extreme, remaining = np.random.default_rng(seed), 0, DRAWS
    while remaining:
        draws = min(remaining, max(1, DRAWN_VALUES // len(sizes)))
        positive = rng.binomial(counts, 0.5, size=(draws, len(sizes)))
        extreme += int((np.abs((2 * positive - counts) @ sizes) >= least).sum())
        remaining -= draws
    return extreme


def holm(p_values: Sequence[float]) -> list[float]:
    """Return Holm's (1979) step-down adjusted p-values: the i-th smallest of m times m - i + 1, made monotone.

    Raises:
        ValueError: a p-value lies outside 0 to 1.
    """
    values = np.asarray(p_values, np.float64)
    if not ((values >= 0) & (values <= 1)).all():
        raise ValueError("p-values lie from 0 to 1")
    order = np.argsort(values, kind="stable")
    stepped = np.minimum(1.0, np.maximum.accumulate(values[order] * np.arange(len(values), 0, -1)))
    adjusted = np.empty_like(stepped)
    adjusted[order] = stepped
    return list(map(float, adjusted))


def pareto_front(costs: Sequence[float], gains: Sequence[float]) -> list[bool]:
    """Return whether each point is Pareto-optimal: no other costs at most as much, gains as much and differs in one."""
    points = list(zip(costs, gains, strict=True))
    return [
        not any(
            cost <= own_cost and gain >= own_gain and (cost, gain) != (own_cost, own_gain)
            for cost, gain in points
        )
        for own_cost, own_gain in points
    ]
