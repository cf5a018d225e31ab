"""Measure the gain over each baseline."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from tlplug import Evidence, Fact, NotMeasured, TransferMetric, compare_paired

PREFIX = "example_scores/baseline/"


@dataclass
class Resampling:
    """The settings of a percentile bootstrap (Efron & Tibshirani 1993)."""

    resamples: int = 10_000
    """The number of samples, from 100 to a million."""
    seed: int = 0
    """The seed of the samples."""

    def __post_init__(self) -> None:
        if not 100 <= self.resamples <= 10**6:
            raise ValueError(f"resamples is {self.resamples}; it must be from 100 to a million")
        if self.seed < 0:
            raise ValueError(f"seed is {self.seed}; it must be 0 or more")


class TransferGain(TransferMetric):
    """Gain over each baseline, with an interval.

    For each baseline b, with s(.) the primary score as the mean of per-example scores over the same n
    test examples: `<b>` = s(run) - s(b), or s(b) - s(run) where lower scores are better, and `<b>/low`, `<b>/high`
    its 95% percentile interval over resampled examples (Efron & Tibshirani 1993; Koehn 2004 for pairing);
    `<b>/error_reduction` = (s(run) - s(b)) / (1 - s(b)), left out where the baseline makes no error, where scores
    are not in [0, 1] and where lower ones are better.
    """

    contract = 1
    requires = frozenset({"example_scores/after"})
    higher_is_better = True
    section = "scores"

    Config = Resampling

    def measure(self, evidence: Evidence) -> dict[str, float]:
        baselines = sorted(name.removeprefix(PREFIX) for name in evidence if name.startswith(PREFIX))
        if not baselines:
            raise NotMeasured("there is no baseline; transfer.baselines is empty")
        higher = bool(evidence.get("higher_is_better", True))
        values: dict[str, float] = {}
        for name in baselines:
            values |= self._against(name, evidence["example_scores/after"], evidence[PREFIX + name], higher)
        return values

    def describe(self, values: Mapping[str, float | NotMeasured]) -> list[Fact]:
        """Return nothing: the report draws the gain over each baseline, with its interval."""
        return []

    def _against(self, name, run, baseline, higher) -> dict[str, float]:  # type: ignore[no-untyped-def]
        first, second = (run, baseline) if higher else (baseline, run)
        comparison = compare_paired(first, second, resamples=self.config.resamples, seed=self.config.seed)
        values = {name: comparison.difference, f"{name}/low": comparison.low, f"{name}/high": comparison.high}
        error = 1.0 - comparison.baseline_mean
        if higher and 0.0 < error <= 1.0:
            values[f"{name}/error_reduction"] = comparison.difference / error
        return values
