"""Give advice on a run's result: a lighter strategy that is enough, more test rows, more or fewer epochs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import ceil, floor, log10

import numpy as np

from tlplug.evaluation.bootstrap import Comparison
from tlplug.evaluation.verdict import Verdict, points
from tlplug.interfaces import Outcome, TaskHead

SMALLEST_DIFFERENCE = 0.02
"""The smallest difference that matters: 2 points of a share; of another score 2% of the baseline's."""
Z = 1.959964 + 0.841621
"""Quantiles of the normal distribution for a two-sided test at 5% that shows a true difference 4 times out of 5."""


@dataclass(frozen=True)
class Advice:
    """A recommendation that follows from the result."""

    text: str
    strategy: str | None = None
    """The strategy to use instead of the run's own."""


@dataclass(frozen=True)
class JudgedRun:
    """A run with its baselines, comparisons and verdict."""

    strategy: str
    head: TaskHead
    run: Outcome
    baselines: Mapping[str, Outcome]
    comparisons: Mapping[str, Comparison]
    """Run minus baseline, for each baseline."""
    verdict: Verdict
    scratch: str | None
    """The baseline that was trained from random weights."""

    @property
    def alternatives(self) -> list[str]:
        """Baselines that could replace the run's strategy: those that use the base model."""
        return [
            name
            for name, outcome in self.baselines.items()
            if outcome.cost is not None and name != self.scratch
        ]

    def gain(self, baseline: str) -> tuple[float, float, float]:
        """Return the run's gain over a baseline, and the ends of its 95% interval."""
        return self.comparisons[baseline].gain(self.head.higher_is_better)

    def count_trainable(self, name: str | None = None) -> float:
        """Return the number of trainable weights of the run or a baseline."""
        cost = (self.run if name is None else self.baselines[name]).cost or {}
        return cost.get("trainable_parameters", 0.0)

    def describe_gain(self, baseline: str) -> str:
        """Return both scores and the gain with its interval."""
        gain, low, high = self.gain(baseline)
        scale, primary = self.head.display_scale, self.head.primary_score
        own, other = (scale * outcome.scores[primary] for outcome in (self.run, self.baselines[baseline]))
        ends = f"{scale * low:+.1f} to {scale * high:+.1f}"
        gained = f"{self.strategy} gains {scale * gain:+.1f}, 95% interval {ends}"
        return f"{primary} {other:.1f}, and {own:.1f} with {self.strategy} ({gained})"


def advise(result: JudgedRun, train_rows: int, epochs: int | None, use_best: bool) -> list[Advice]:
    """Return recommendations, the most important first.

    Args:
        train_rows: rows of the training split.
        epochs: `trainer.max_epochs`; None where another bound ended the training.
        use_best: whether the result is of the weights with the best validation score.
    """
    curve = Curve(result, train_rows, epochs)
    sentences = [
        *suggest_strategy(result),
        *warn_if_trivial(result),
        *suggest_more_rows(result),
        *curve.improving(),
    ]
    return sentences if use_best else [*sentences, *curve.worsening()]


def suggest_strategy(result: JudgedRun) -> Iterator[Advice]:
    """Yield a strategy to use instead of the run's: one that did better, else the lightest that is as good."""
    better = [name for name in result.alternatives if result.gain(name)[2] < 0]
    if better:
        name = min(better, key=lambda name: result.gain(name)[0])
        yield Advice(f"{name} did better here: {result.describe_gain(name)}.", name)
        return
    lighter = [
        name for name in result.alternatives if result.count_trainable(name) < result.count_trainable()
    ]
    enough = [name for name in lighter if result.gain(name)[1] <= 0]
    if not enough:
        return
    name = min(enough, key=result.count_trainable)
    trains = f"It trains {result.count_trainable(name):,.0f} weights, {result.strategy} {result.count_trainable():,.0f}."
    yield Advice(
        f"{name} is enough here: {result.describe_gain(name)}. {trains}{rows_hint(result, name)}", name
    )


def rows_hint(result: JudgedRun, baseline: str) -> str:
    """Return the number of test rows that would show a difference, as a sentence; empty where there are enough rows."""
    difference, rows = rows_needed(result, baseline)
    if rows <= len(result.run.example_scores):
        return ""
    formatted = points(difference, result.head.display_scale)
    return f" To tell a difference of {formatted} takes about {rows:,} test rows."


def warn_if_trivial(result: JudgedRun) -> Iterator[Advice]:
    """Yield a warning where the run is not better than a trivial baseline."""
    for name in result.baselines:
        if result.baselines[name].cost is None and result.gain(name)[1] <= 0:
            yield Advice(
                f"{result.strategy} is not shown to be better than {name}, the same simple answer to every row: "
                f"{result.describe_gain(name)}. Look at the labels, take more training rows, or another base model "
                "(python -m tlplug rank)."
            )


def suggest_more_rows(result: JudgedRun) -> Iterator[Advice]:
    """Yield the number of test rows for a verdict, where there are too few for one."""
    baseline = result.verdict.baseline
    if result.verdict.label != "inconclusive" or baseline is None:
        return
    difference, rows = rows_needed(result, baseline)
    available = len(result.run.example_scores)
    if rows > available:
        yield Advice(
            f"For a verdict, to tell a difference of {points(difference, result.head.display_scale)} from {baseline} "
            f"takes about {rows:,} test rows of this kind; there are {available:,}."
        )


def rows_needed(result: JudgedRun, baseline: str) -> tuple[float, int]:
    """Return a difference, and the number of test rows with which a paired test detects it.

    n = (z_{0.975} + z_{0.8})^2 s^2 / d^2 with s the standard deviation of the rows' differences, for a paired test at 5%
    with a power of 80% (Cohen 1988, "Statistical power analysis", ch. 2). d is the larger of the observed difference and
    the smallest one that matters.

    Returns:
        d in the unit of the score, and n with two significant digits.
    """
    run, other = (
        np.asarray(outcome.example_scores, np.float64) for outcome in (result.run, result.baselines[baseline])
    )
    differences = run - other
    difference = max(abs(float(differences.mean())), smallest_difference(result.head, float(other.mean())))
    if len(differences) < 2 or not difference:
        return difference, len(differences)
    return difference, round_up((Z * float(differences.std(ddof=1)) / difference) ** 2)


def smallest_difference(head: TaskHead, score: float) -> float:
    """Return the smallest difference that matters."""
    return SMALLEST_DIFFERENCE if head.display_scale == 100 else SMALLEST_DIFFERENCE * abs(score)


def round_up(rows: float) -> int:
    """Round up to two significant digits."""
    if rows < 1:
        return 1
    unit = 10 ** max(0, floor(log10(rows)) - 1)
    return int(ceil(rows / unit) * unit)


@dataclass(frozen=True)
class Curve:
    """The primary score on the validation rows during training."""

    result: JudgedRun
    train_rows: int
    epochs: int | None

    @property
    def gains(self) -> list[float]:
        """The scores with the sign for which higher is better."""
        sign = 1 if self.result.head.higher_is_better else -1
        return [sign * score for _, score in self.result.run.curve]

    @property
    def smallest_difference(self) -> float:
        return smallest_difference(self.result.head, self.gains[-1])

    def improving(self) -> Iterator[Advice]:
        """Yield that more epochs may help, where the last three validations improve by a difference that matters."""
        last = self.gains[-3:]
        if len(last) < 3 or not last[0] < last[1] < last[2] or last[2] - last[0] < self.smallest_difference:
            return
        if last[2] < max(self.gains):
            return
        longer = f": trainer.max_epochs={2 * self.epochs}" if self.epochs else ""
        formatted = self.format_scores(self.result.run.curve[-3:])
        yield Advice(
            f"{self.name} was still improving at the end ({formatted}): more epochs may help{longer}."
        )

    def worsening(self) -> Iterator[Advice]:
        """Yield that fewer epochs may do, where the best validation is in the first half and the last is clearly worse."""
        if len(self.gains) < 3:
            return
        best = int(np.argmax(self.gains))
        (examples, _), (total, _) = self.result.run.curve[best], self.result.run.curve[-1]
        if 2 * examples > total or self.gains[best] - self.gains[-1] < self.smallest_difference:
            return
        formatted = self.format_scores([self.result.run.curve[best], self.result.run.curve[-1]])
        after = f"{examples / self.train_rows:.2g} of {total / self.train_rows:.2g} epochs"
        yield Advice(
            f"{self.name} was best after {after} and got worse ({formatted}): fewer epochs may do better, or "
            "checkpoint.use_best=true."
        )

    @property
    def name(self) -> str:
        return f"The validation {self.result.head.primary_score}"

    def format_scores(self, part: Sequence[Sequence[float]]) -> str:
        """Return the scores of a part of the curve."""
        scale = self.result.head.display_scale
        return ", ".join(f"{scale * score:.1f}" for _, score in part)
