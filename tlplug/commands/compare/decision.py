"""Decide from finished trainings when a comparison stops and which strategy it recommends."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tlplug.evaluation.confidence_intervals import Interval, seed_interval
from tlplug.evaluation.verdict import points
from tlplug.interfaces import Outcome, TaskHead
from tlplug.reports.formatting import figure, interval, signed

TRIVIAL = "trivial"


@dataclass(frozen=True)
class Run:
    """One training: a strategy with one seed."""

    seed: int
    outcome: Outcome
    cached: bool
    """True if the outcome was read from the cache."""


@dataclass(frozen=True)
class Rung:
    """The trainings of one strategy with all seeds, or the error that ended them."""

    name: str
    runs: Sequence[Run] = ()
    rate: float | None = None
    """The learning rate that `tune_learning_rate` chose; None: the strategy's own."""
    tried: dict[float, float] = field(default_factory=dict)
    """With `tune_learning_rate`: learning rate -> mean validation score."""
    error: str | None = None

    @property
    def values(self) -> np.ndarray:
        """Scores of single examples, [seeds, examples]."""
        return np.asarray([run.outcome.example_scores for run in self.runs], np.float64)


@dataclass(frozen=True)
class Judge:
    """Compare the scores of strategies, and decide when to stop and which strategy to recommend."""

    head: TaskHead
    target_score: float | None = None
    stop_early: bool = True

    def score(self, rung: Rung) -> Interval:
        """Return the mean primary score over seeds with its interval; the upper end of a share is at most 1."""
        found = seed_interval(rung.values)
        return (
            Interval(found.mean, found.low, min(found.high, 1.0)) if self.head.display_scale == 100 else found
        )

    def gain(self, rung: Rung, over: Rung) -> Interval:
        """Return the improvement of `rung` over the other one, positive where `rung` is better."""
        first, second = rung.values, over.values
        return seed_interval(first - second if self.head.higher_is_better else second - first)

    def standing(self, rungs: Sequence[Rung], trivial: Rung) -> str:
        """Return a sentence with the score of the last strategy and its gain over the one before it."""
        last, before = rungs[-1], self.before(rungs, trivial)
        score, gain, scale = self.score(last), self.gain(last, before), self.head.display_scale
        primary = self.head.primary_score
        return (
            f"{last.name}: {primary} {figure(score.mean, scale)} (95% interval {figure(score.low, scale)} to "
            f"{figure(score.high, scale)}), {signed(gain.mean, scale)} over {before.name} "
            f"({interval(gain.low, gain.high, scale)})."
        )

    def before(self, rungs: Sequence[Rung], trivial: Rung) -> Rung:
        """Return the last strategy that finished before the last of `rungs`, else the trivial baseline."""
        return [trivial, *finished(rungs[:-1])][-1]

    def enough(self, rungs: Sequence[Rung]) -> str | None:
        """Return why no further strategy needs to be run; None if the next one should be run."""
        done = finished(rungs)
        if not done or rungs[-1] is not done[-1]:
            return None
        last = done[-1]
        if self.target_score is not None:
            return f"{last.name} reaches {self._figure(self.target_score)}" if self.reached(last) else None
        if self.stop_early and len(done) > 1 and self.gain(last, done[-2]).low <= 0:
            return f"{last.name} gains nothing over {done[-2].name} beyond noise"
        return None

    def reached(self, rung: Rung) -> bool:
        mean = seed_interval(rung.values).mean
        return self.target_score is not None and (
            mean >= self.target_score if self.head.higher_is_better else mean <= self.target_score
        )

    def best(self, rungs: Sequence[Rung]) -> Rung:
        sign = 1.0 if self.head.higher_is_better else -1.0
        return max(finished(rungs), key=lambda rung: sign * seed_interval(rung.values).mean)

    def lightest(self, rungs: Sequence[Rung]) -> Rung:
        """Return the first strategy that reaches the target, else the first that the best does not beat beyond noise."""
        done = finished(rungs)
        best = self.best(rungs)
        met = [rung for rung in done if self.reached(rung)]
        level = [rung for rung in done if rung is best or self.gain(best, rung).low <= 0]
        return (met or level)[0]

    def sentence(self, rungs: Sequence[Rung], trivial: Rung) -> str:
        """Return the recommendation: the strategy, the reason for it and its limits."""
        if not finished(rungs):
            return "No strategy could be trained."
        lightest, best = self.lightest(rungs), self.best(rungs)
        parts = [self._named(lightest, best)]
        if self.target_score is not None and not self.reached(lightest):
            parts.append(f"None reaches {self._figure(self.target_score)}.")
        if self.gain(lightest, trivial).low <= 0:
            parts.append("It cannot be told from the trivial baseline either.")
        if len(lightest.runs) == 1:
            parts.append("One seed was run, so how much seeds differ is not counted.")
        return " ".join(parts)

    def _named(self, lightest: Rung, best: Rung) -> str:
        score = f"{self.head.primary_score} {self._figure(seed_interval(lightest.values).mean)}"
        light = f"{lightest.name} is the lightest strategy that is not worse than the best"
        if self.reached(lightest):
            return f"{lightest.name} is the lightest that reaches {self._figure(self.target_score or 0.0)}, with {score}."
        if lightest is best:
            return f"{light}: it is itself the best, with {score}."
        gap = self.gain(best, lightest)
        scale = self.head.display_scale
        return (
            f"{light} beyond noise, with {score}: "
            f"{best.name}, the best, is {points(gap.mean, scale)} better "
            f"(95% interval {interval(gap.low, gap.high, scale)})."
        )

    def _figure(self, score: float) -> str:
        return figure(score, self.head.display_scale)


def finished(rungs: Sequence[Rung]) -> list[Rung]:
    return [rung for rung in rungs if rung.error is None]


def chosen_rate(tried: dict[float, float], own: float, higher_is_better: bool) -> float:
    """Return the learning rate with the best validation score.

    Ties go to the rate nearest to the strategy's own on a log scale, then to the smaller one.
    """
    sign = 1.0 if higher_is_better else -1.0

    def rank(rate: float) -> tuple[Any, ...]:
        return (-sign * tried[rate], abs(np.log(rate / own)), rate)

    return min(tried, key=rank)
