"""Whether two strategies differ: p-values of pairs, corrected for how many pairs there are."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

ENOUGH_SEEDS = 3
"""From so many shared seeds on, what differs from seed to seed is part of the test."""
EXACT, DRAWS, AT_ONCE = 1_000_000, 9_999, 1_000_000
OVER_EXAMPLES = "permutation over examples"
OVER_BOTH = "t over seeds and permutation over examples, the larger p"


def paired_test(gains: Sequence[Sequence[float]] | np.ndarray) -> tuple[float, str]:
    """The two-sided p-value of no difference at all, and which test it is of.

    With at least three seeds the larger of two: the paired t over seeds, which asks whether other seeds could undo the
    difference on these examples, and the permutation over examples of their means over seeds, which asks whether other
    examples could. A difference counts only where neither could (an intersection-union test, Berger 1982), so it
    keeps its level, and a strategy without any chance in it does not seem better by one example. With fewer seeds a
    t over them tells nothing, and the p-value is that over examples alone.

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
    # Seeds of the same difference: what is left of their spread is rounding.
    if np.ptp(values) < 1e-12 * np.abs(values).max():
        return 0.0
    return float(ttest_1samp(values, 0.0).pvalue)


def permutation_p(differences: np.ndarray, seed: int = 0) -> float:
    """P(|sum s_i d_i| >= |sum d_i|) where each sign s_i is as likely + as - (Fisher 1935, "The design of experiments").

    Exact where the sums can be listed: equal |d_i| are counted together, so with scores of 0 and 1 of one seed it is
    McNemar's exact test. Else by 9,999 draws, the observed one among them (Phipson & Smyth 2010).
    """
    sizes, counts = np.unique(np.round(np.abs(differences), 12), return_counts=True)
    sizes, counts = sizes[sizes > 0], counts[sizes > 0]
    if not len(sizes):
        return 1.0
    least = abs(float(np.sum(differences))) - 1e-9 * float(sizes @ counts)
    if np.prod(counts + 1.0) <= EXACT:
        sums, chances = all_sums(sizes, counts)
        return min(1.0, float(chances[np.abs(sums) >= least].sum()))
    return (1 + drawn_beyond(sizes, counts, least, seed)) / (1 + DRAWS)


def all_sums(sizes: np.ndarray, counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Every sum of signed differences, and its chance."""
    from scipy.stats import binom

    sums, chances = np.zeros(1), np.ones(1)
    for size, count in zip(sizes, counts, strict=True):
        positive = np.arange(count + 1)
        sums = np.add.outer(sums, size * (2 * positive - count)).ravel()
        chances = np.multiply.outer(chances, binom.pmf(positive, count, 0.5)).ravel()
    return sums, chances


def drawn_beyond(sizes: np.ndarray, counts: np.ndarray, least: float, seed: int) -> int:
    """How many of the drawn sums are as far from zero; a few at once, for there may be many examples."""
    rng, beyond, left = np.random.default_rng(seed), 0, DRAWS
    while left:
        some = min(left, max(1, AT_ONCE // len(sizes)))
        positive = rng.binomial(counts, 0.5, size=(some, len(sizes)))
        beyond += int((np.abs((2 * positive - counts) @ sizes) >= least).sum())
        left -= some
    return beyond


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's (1979) step-down adjusted p-values: of m, the i-th smallest times m - i + 1, never below a smaller one's.

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
    found: list[float] = adjusted.tolist()
    return found


def front(costs: Sequence[float], gains: Sequence[float]) -> list[bool]:
    """Of each point whether it is Pareto-optimal: none costs no more and gains no less, and one of the two truly."""
    points = list(zip(costs, gains, strict=True))
    return [
        not any(
            cost <= own_cost and gain >= own_gain and (cost, gain) != (own_cost, own_gain)
            for cost, gain in points
        )
        for own_cost, own_gain in points
    ]
