"""Define the settings of metrics with a bootstrap interval."""

from __future__ import annotations

from dataclasses import dataclass

MOST = 10**6


@dataclass
class Resampling:
    """The settings of a percentile bootstrap (Efron & Tibshirani 1993)."""

    resamples: int = 10_000
    """The number of samples, from 100 to a million."""
    seed: int = 0
    """The seed of the samples."""

    def __post_init__(self) -> None:
        if not 100 <= self.resamples <= MOST:
            raise ValueError(f"resamples is {self.resamples}; it must be from 100 to a million")
        if self.seed < 0:
            raise ValueError(f"seed is {self.seed}; it must be 0 or more")
