"""Compare the error with that of training from scratch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from tlplug import Evidence, Fact, NotMeasured, TransferMetric, compare_paired, t_interval
from tlplug_plugins.metrics.transfer_gain import Resampling

SCRATCH = "example_scores/baseline/scratch"
OVER_EXAMPLES = "paired bootstrap over examples"
OVER_SEEDS = "paired t over seeds"
NAME = "Negative transfer"


class NegativeTransfer(TransferMetric):
    """Error above that of training from scratch: above 0 is negative transfer.

    `error_difference` = error(run) - error(scratch) on the same n test examples (Wang et al. 2019, "Characterizing and
    avoiding negative transfer"), in units of the primary score, with an error of 1 - score or, where lower scores are
    better, the score itself. `low`, `high`: its 95% interval. `seeds` says which interval: at 1, that of a run, a
    paired bootstrap over examples, which says nothing of other seeds; above 1 paired t over seeds. Transfer was
    negative where `low` is above 0.
    """

    contract = 1
    requires = frozenset({"example_scores/after"})
    higher_is_better = False
    section = "scores"

    Config = Resampling

    def measure(self, evidence: Evidence) -> dict[str, float]:
        if evidence.get(SCRATCH) is None:
            raise NotMeasured("there is no training from scratch; set transfer.baselines=[...,scratch]")
        difference = negative_transfer(
            evidence["example_scores/after"],
            evidence[SCRATCH],
            higher_is_better=bool(evidence.get("higher_is_better", True)),
            resamples=self.config.resamples,
            seed=self.config.seed,
        )
        return {
            "error_difference": difference.difference,
            "low": difference.low,
            "high": difference.high,
            "seeds": float(difference.seeds),
        }

    def describe(self, values: Mapping[str, float | NotMeasured]) -> list[Fact]:
        fact = Fact.of(values, "error_difference", NAME, form="gain")
        low, high, seeds = (values.get(key) for key in ("low", "high", "seeds"))
        if not isinstance(low, int | float) or not isinstance(high, int | float):
            return [fact]
        sample = (
            f"over {seeds:.0f} seeds" if isinstance(seeds, int | float) and seeds > 1 else "over test rows"
        )
        meaning = "harm was done" if low > 0 else "no harm is shown" if high >= 0 else "no harm, but help"
        meaning = (
            "the run's error minus that of training from scratch; above zero is negative transfer. With its 95% "
            f"interval {sample}: {meaning}"
        )
        return [replace(fact, interval=(low, high), meaning=meaning)]


@dataclass(frozen=True)
class Difference:
    """error(transfer) - error(scratch), with a 95% interval."""

    difference: float
    low: float
    high: float
    seeds: int
    interval: str
    """How the interval was computed: `paired bootstrap over examples` or `paired t over seeds`."""


def negative_transfer(
    transfer: Sequence[float] | Sequence[Sequence[float]] | np.ndarray,
    scratch: Sequence[float] | Sequence[Sequence[float]] | np.ndarray,
    higher_is_better: bool = False,
    resamples: int = 10_000,
    seed: int = 0,
) -> Difference:
    """Return the difference of two errors on the same examples.

    With one seed its interval is the percentile bootstrap over paired examples (Efron & Tibshirani 1993, ch. 13). With S
    seeds it is mean(d) +- t_{S-1, 0.975} sd(d) / sqrt(S) for the S differences d of mean errors, so seeds are paired
    as they stand.

    Args:
        transfer, scratch: [n], or [S, n] for S seeds: each example's error, or its score with higher_is_better.
        higher_is_better: whether they are scores; the difference is turned then, to be one of errors.

    Raises:
        ValueError: shapes differ or are others, or a number is not finite.
    """
    first, second = np.asarray(transfer, np.float64), np.asarray(scratch, np.float64)
    if first.shape != second.shape or first.ndim not in (1, 2) or not first.size:
        raise ValueError(
            f"errors must be [n] or [seeds, n], the same of both; got {first.shape}, {second.shape}"
        )
    if not (np.isfinite(first).all() and np.isfinite(second).all()):
        raise ValueError("errors must be finite")
    sign = -1.0 if higher_is_better else 1.0
    if first.ndim == 2 and len(first) > 1:
        interval = t_interval(sign * (first.mean(1) - second.mean(1)))
        return Difference(interval.mean, interval.low, interval.high, len(first), OVER_SEEDS)
    # The run before the baseline, as the verdict has them: the resampled means are the same, turned.
    comparison = compare_paired(first.ravel(), second.ravel(), resamples=resamples, seed=seed)
    low, high = sorted((sign * comparison.low, sign * comparison.high))
    return Difference(sign * comparison.difference, low, high, 1, OVER_EXAMPLES)
