"""Intervals over seeds and examples, and per-example values of a score that is no mean."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Interval:
    """A mean with its 95% interval."""

    mean: float
    low: float
    high: float


def over_seeds(values: Sequence[Sequence[float]] | np.ndarray) -> Interval:
    """The mean of numbers that each stand for one seed and one example, over other seeds and other examples.

    With seeds' means a_s and examples' means b_e the variance of the whole mean is taken as var(a) / S + var(b) / n, and
    the interval from Student's t with Satterthwaite's (1946) degrees of freedom. Resampling both seeds and examples
    (Owen & Eckles 2012, "Bootstrapping data arrays of arbitrary order") comes to nearly the same where both are many;
    with three seeds its own variance of seeds is a third too small and its percentiles know no t, so that intervals
    are too narrow wherever seeds differ. Noise of single predictions is counted twice here, which is on the safe
    side. A single seed says nothing of others: the interval is then over examples alone.

    Args:
        values: shape [S, n], n of at least 2.

    Raises:
        ValueError: another shape.
    """
    from scipy.special import stdtrit  # type: ignore[import-untyped]

    array = np.asarray(values, np.float64)
    if array.ndim != 2 or array.shape[0] < 1 or array.shape[1] < 2:
        raise ValueError(f"values must be [seeds, examples], two examples at least; got {array.shape}")
    parts = [means.var(ddof=1) / len(means) for means in (array.mean(1), array.mean(0)) if len(means) > 1]
    freedom = [count - 1 for count in array.shape if count > 1]
    mean, variance = float(array.mean()), sum(parts)
    if not variance:
        return Interval(mean, mean, mean)
    degrees = variance**2 / sum(part**2 / count for part, count in zip(parts, freedom, strict=True))
    half = float(stdtrit(degrees, 0.975) * np.sqrt(variance))
    return Interval(mean, mean - half, mean + half)


def t_interval(values: Sequence[float] | np.ndarray) -> Interval:
    """mean +- t_{S-1, 0.975} sd / sqrt(S) of S values, one a seed: Student's interval over other seeds.

    Raises:
        ValueError: there are fewer than two values.
    """
    from scipy.special import stdtrit

    array = np.asarray(values, np.float64)
    if array.ndim != 1 or len(array) < 2:
        raise ValueError(f"an interval over seeds takes two values at least; got {array.shape}")
    mean = float(array.mean())
    half = float(stdtrit(len(array) - 1, 0.975) * array.std(ddof=1) / np.sqrt(len(array)))
    return Interval(mean, mean - half, mean + half)


def jackknife_values(
    statistics: Sequence[Sequence[float]], score: Callable[[np.ndarray], np.ndarray]
) -> list[float]:
    """One number for each example, whose mean is a score that is itself no mean over examples.

    With t the score of all n examples and t_i that of all but example i, the numbers are
    t + (n - 1) (mean(t_j) - t_i): the empirical influence values of the jackknife (Efron 1982, "The jackknife, the
    bootstrap and other resampling plans", ch. 6), so that their paired bootstrap has the score's standard error to
    first order.

    Args:
        statistics: sums that the score is a function of, shape [n, S], such as an example's true positives,
            predicted and real entities.
        score: sums [..., S] -> scores [...], finite also where one example is left out.
    """
    each = np.asarray(statistics, np.float64)
    total, count = each.sum(0), len(each)
    whole = float(score(total))
    if count == 1:
        return [whole]
    without = np.asarray(score(total - each), np.float64)
    values: list[float] = (whole + (count - 1) * (without.mean() - without)).tolist()
    return values
