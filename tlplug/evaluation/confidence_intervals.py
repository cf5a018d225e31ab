"""Compute intervals over seeds and examples, and example values of a score that is not a mean."""

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


def seed_interval(values: Sequence[Sequence[float]] | np.ndarray) -> Interval:
    """Return the mean of values by seed and example, with its interval over other seeds and other examples.

    With seeds' means a_s and examples' means b_e the variance of the mean is estimated as var(a) / S + var(b) / n, and
    the interval from Student's t with Satterthwaite's (1946) degrees of freedom. Resampling both seeds and examples
    (Owen & Eckles 2012, "Bootstrapping data arrays of arbitrary order") gives nearly the same for many seeds and
    examples. With three seeds its variance of seeds is a third too small and its percentiles do not account for t, so
    that its intervals are too narrow wherever seeds differ. Here the noise of single predictions is counted twice, which
    is conservative. With a single seed the interval is over examples only.

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
    """Return Student's interval over other seeds, mean +- t_{S-1, 0.975} sd / sqrt(S), of one value for each of S seeds.

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
    """Return one number for each example whose mean is a score that is not itself a mean over examples.

    With t the score of all n examples and t_i that of all but example i, the numbers are
    t + (n - 1) (mean(t_j) - t_i): the empirical influence values of the jackknife (Efron 1982, "The jackknife, the
    bootstrap and other resampling plans", ch. 6), so that their paired bootstrap has the score's standard error to
    first order.

    Args:
        statistics: sums that the score is a function of, shape [n, S], such as an example's true positives,
            predicted and real entities.
        score: sums [..., S] -> scores [...], finite also where one example is left out.
    """
    sums = np.asarray(statistics, np.float64)
    total, count = sums.sum(0), len(sums)
    score_of_all = float(score(total))
    if count == 1:
        return [score_of_all]
    without_one = np.asarray(score(total - sums), np.float64)
    values: list[float] = (score_of_all + (count - 1) * (without_one.mean() - without_one)).tolist()
    return values
