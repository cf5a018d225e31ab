"""Rank models by metric values, and measure the agreement of ranks with scores."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

import numpy as np

ENOUGH = 3
"""The smallest number of models for which a rank correlation is computed."""


def ranks(values: Sequence[float], higher_is_better: bool = True) -> list[float]:
    """Return the rank of each value, 1 for the best; equal values share the mean of their ranks."""
    from scipy.stats import rankdata  # type: ignore[import-untyped]

    signed = np.asarray(values, np.float64) * (-1 if higher_is_better else 1)
    return [float(rank) for rank in rankdata(signed)]


@dataclass(frozen=True)
class Consensus:
    """The mean rank of each of n models over the metrics that were measured for all of them."""

    by_metric: Mapping[str, list[float]]
    """Metric -> the ranks of the models, [n]; metrics that are not measured for all models are absent."""
    models: int

    @property
    def mean_ranks(self) -> list[float] | None:
        """The mean of each model's ranks over the metrics, [n]; None without a metric."""
        if not self.by_metric:
            return None
        return [fmean(found[number] for found in self.by_metric.values()) for number in range(self.models)]

    @property
    def ranks(self) -> list[float] | None:
        """The ranks of the mean ranks, [n]; None without a metric."""
        means = self.mean_ranks
        # Means of the same ranks in another order may differ in the last digit but count as equal.
        return None if means is None else ranks([round(mean, 9) for mean in means], higher_is_better=False)


def consensus(
    values: Mapping[str, Sequence[float | None]], higher_is_better: Mapping[str, bool]
) -> Consensus:
    """Return the consensus of metrics over n models; a metric with a missing value (None) is left out."""
    found = {}
    for name, measured in values.items():
        present = [value for value in measured if value is not None]
        if present and len(present) == len(measured):
            found[name] = ranks(present, higher_is_better[name])
    return Consensus(found, max(map(len, values.values()), default=0))


def chosen(order: Sequence[int], parameters: Sequence[int], first: int) -> list[int]:
    """Return the first models of an order, and the smallest model (the first-ranked of equal size) if it is missing."""
    found = list(order[:first])
    smallest = min(order, key=lambda model: parameters[model])
    return found if smallest in found else [*found, smallest]


def agreement(
    ranked: Sequence[float], scores: Sequence[float], higher_is_better: bool = True
) -> dict[str, Any]:
    """Return the agreement of ranks (1 is the best) with scores.

    `tau`: Kendall's tau-b of ranks and scores, 1 if they agree in each pair, -1 if in none; None if there are fewer than
    three models, or all ranks or all scores are equal, with the reason in `tau_missing_reason`. `p_value`: under the
    hypothesis that ranks and scores are independent. `regret`: the difference between the best score and that of the
    model ranked first, or the mean score of all models ranked first.
    """
    signed = np.asarray(scores, np.float64) * (1 if higher_is_better else -1)
    first = signed[np.asarray(ranked) == min(ranked)]
    found: dict[str, Any] = {"tau": None, "p_value": None, "tau_missing_reason": no_tau(ranked, scores)}
    if found["tau_missing_reason"] is None:
        from scipy.stats import kendalltau

        tau = kendalltau([-rank for rank in ranked], signed)
        found |= {"tau": float(tau.statistic), "p_value": finite(float(tau.pvalue))}
    return {**found, "regret": float(signed.max() - first.mean())}


def no_tau(ranked: Sequence[float], scores: Sequence[float]) -> str | None:
    if len(scores) < ENOUGH:
        return f"{len(scores)} models are too few for a correlation of ranks: fine-tune {ENOUGH} at least"
    if len(set(ranked)) == 1:
        return "all have the same rank"
    if len(set(scores)) == 1:
        return "all have the same score"
    return None


def finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
