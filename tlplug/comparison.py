"""One run against another on the same examples: difference, interval, and the verdict on the transfer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

SCRATCH = "scratch"
"""Negative transfer means: worse than the same architecture trained from random weights (Wang et al. 2019)."""


@dataclass(frozen=True)
class Comparison:
    """Mean difference of per-example scores, run minus baseline, with a 95% interval."""

    difference: float
    low: float
    high: float
    against: float
    """The baseline's own mean."""


def compare_paired(
    run: Sequence[float], baseline: Sequence[float], resamples: int = 10_000, seed: int = 0
) -> Comparison:
    """The paired percentile bootstrap over examples (Efron & Tibshirani 1993, ch. 13).

    Args:
        run, baseline: scores of the same n examples in the same order, shape [n].
        resamples: how often n examples are drawn with replacement.

    Raises:
        ValueError: the two differ in length, or there is no example.
    """
    first, second = np.asarray(run, np.float64), np.asarray(baseline, np.float64)
    if first.shape != second.shape or first.ndim != 1 or not len(first):
        raise ValueError(f"paired scores must be of one length above 0, got {first.shape} and {second.shape}")
    difference = first - second
    means = resampled_means(difference, resamples, np.random.default_rng(seed))
    low, high = np.percentile(means, [2.5, 97.5])
    return Comparison(float(difference.mean()), float(low), float(high), float(second.mean()))


def resampled_means(values: np.ndarray, resamples: int, rng: np.random.Generator) -> np.ndarray:
    """Means of bootstrap samples, [resamples]. Counts of distinct values are drawn, which is the same and cheap."""
    distinct, counts = np.unique(values, return_counts=True)
    draws = rng.multinomial(len(values), counts / len(values), size=resamples)
    means: np.ndarray = draws @ distinct / len(values)
    return means


@dataclass(frozen=True)
class Verdict:
    """Did knowledge transfer?"""

    label: str
    """positive, negative, inconclusive; none where there is no baseline."""
    text: str
    against: str | None = None
    difference: float | None = None
    low: float | None = None
    high: float | None = None

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def judge(comparisons: Mapping[str, Comparison], primary: str, higher_is_better: bool = True) -> Verdict:
    """The verdict against `scratch`, or against the best baseline where scratch was not run.

    Positive: the interval lies above zero; negative: below; else inconclusive. Signs are turned where lower
    scores are better.
    """
    if not comparisons:
        return Verdict("none", "No verdict: the run was compared with nothing (transfer.baselines is empty).")
    sign = 1.0 if higher_is_better else -1.0
    name = (
        SCRATCH
        if SCRATCH in comparisons
        else max(comparisons, key=lambda key: sign * comparisons[key].against)
    )
    found = comparisons[name]
    low, high = sorted((sign * found.low, sign * found.high))
    label = "positive" if low > 0 else "negative" if high < 0 else "inconclusive"
    text = wording(label, name, primary, sign * found.difference, low, high)
    return Verdict(label, text, name, found.difference, found.low, found.high)


def wording(label: str, against: str, primary: str, gain: float, low: float, high: float) -> str:
    """The verdict for a person; gains in points of the primary score (hundredths)."""
    what = {
        "positive": f"Positive transfer: what the base model knew helped. {primary} is {points(gain)} above {{}}",
        "negative": f"Negative transfer: the base model's knowledge did harm. {primary} is {points(-gain)} below {{}}",
        "inconclusive": f"Inconclusive: on this test split {primary} cannot be told from that of {{}}, "
        f"at {points(gain, signed=True)}",
    }[label]
    interval = f" (95% interval {100 * low:+.1f} to {100 * high:+.1f})."
    named = "training from scratch" if against == SCRATCH else f"{against}, the best baseline that was run"
    note = (
        ""
        if against == SCRATCH
        else " Training from scratch was not run, and that alone would show negative transfer."
    )
    return what.format(named) + interval + note


def points(gain: float, signed: bool = False) -> str:
    return f"{100 * gain:+.1f} points" if signed else f"{100 * gain:.1f} points"
