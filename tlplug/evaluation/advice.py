"""Say what follows from a run's result: a lighter strategy that is enough, more test rows, more or fewer epochs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import ceil, floor, log10

import numpy as np

from tlplug.evaluation.bootstrap import Comparison
from tlplug.evaluation.verdict import Verdict, points
from tlplug.interfaces import Outcome, TaskHead

SMALLEST = 0.02
"""The smallest difference that matters: 2 points of a share; of another score 2% of the baseline's."""
Z = 1.959964 + 0.841621
"""Quantiles of the normal distribution for a two-sided test at 5% that shows a true difference 4 times out of 5."""


@dataclass(frozen=True)
class Advice:
    """What follows from the result."""

    text: str
    strategy: str | None = None
    """The strategy to take in place of the run's own."""


@dataclass(frozen=True)
class Judged:
    """A run with its verdict, from which advice is drawn."""

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
    def sign(self) -> float:
        """What turns a difference of primary scores into a gain."""
        return 1.0 if self.head.higher_is_better else -1.0

    @property
    def trained(self) -> list[str]:
        """Baselines that could be taken in place of the run's strategy: those with a base model behind them."""
        return [n for n, found in self.baselines.items() if found.cost is not None and n != self.scratch]

    def gain(self, baseline: str) -> tuple[float, float, float]:
        """Return the run's gain over a baseline, and the ends of its 95% interval."""
        found = self.comparisons[baseline]
        low, high = sorted((self.sign * found.low, self.sign * found.high))
        return self.sign * found.difference, low, high

    def weights(self, name: str | None = None) -> float:
        """Return how many weights the run trains, or a baseline."""
        cost = (self.run if name is None else self.baselines[name]).cost or {}
        return cost.get("trainable_parameters", 0.0)

    def worded(self, baseline: str) -> str:
        """Return both scores and the gain with its interval."""
        gain, low, high = self.gain(baseline)
        scale, primary = self.head.display_scale, self.head.primary_score
        own, other = (scale * found.scores[primary] for found in (self.run, self.baselines[baseline]))
        ends = f"{scale * low:+.1f} to {scale * high:+.1f}"
        gained = f"its gain is {scale * gain:+.1f}, 95% interval {ends}"
        return f"{primary} {other:.1f} against the {own:.1f} of {self.strategy} ({gained})"


def advise(result: Judged, train_rows: int, epochs: int | None, use_best: bool) -> list[Advice]:
    """Return what follows from the result, the most important first.

    Args:
        train_rows: rows of the training split.
        epochs: `trainer.max_epochs`; None where another bound ended the training.
        use_best: whether the weights with the best validation score are those of the result.
    """
    curve = Curve(result, train_rows, epochs)
    sentences = [*instead(result), *nothing_learnt(result), *too_few_rows(result), *curve.improving()]
    return sentences if use_best else [*sentences, *curve.worsening()]


def instead(result: Judged) -> Iterator[Advice]:
    """Yield the strategy to take in place of the run's: one that did better, else the lightest that is as good."""
    better = [name for name in result.trained if result.gain(name)[2] < 0]
    if better:
        name = min(better, key=lambda name: result.gain(name)[0])
        yield Advice(f"{name} did better here: {result.worded(name)}.", name)
        return
    lighter = [name for name in result.trained if result.weights(name) < result.weights()]
    enough = [name for name in lighter if result.gain(name)[1] <= 0]
    if not enough:
        return
    name = min(enough, key=result.weights)
    trains = f"It trains {result.weights(name):,.0f} weights, {result.strategy} {result.weights():,.0f}."
    yield Advice(f"{name} is enough here: {result.worded(name)}. {trains}{more_rows(result, name)}", name)


def more_rows(result: Judged, baseline: str) -> str:
    """Return how many test rows would tell the two apart, where those that there are leave room for a difference."""
    difference, rows = rows_needed(result, baseline)
    if rows <= len(result.run.example_scores):
        return ""
    shown = points(difference, result.head.display_scale)
    return f" To tell a difference of {shown} takes about {rows:,} test rows."


def nothing_learnt(result: Judged) -> Iterator[Advice]:
    """Yield a warning where the run is not better than the same simple answer to everything."""
    for name in result.baselines:
        if result.baselines[name].cost is None and result.gain(name)[1] <= 0:
            yield Advice(
                f"{result.strategy} is not shown to be better than {name}, the same simple answer to every row: "
                f"{result.worded(name)}. Look at the labels, take more training rows, or another base model "
                "(python -m tlplug rank)."
            )


def too_few_rows(result: Judged) -> Iterator[Advice]:
    """Yield how many test rows would give a verdict, where there is none for want of them."""
    baseline = result.verdict.baseline
    if result.verdict.label != "inconclusive" or baseline is None:
        return
    difference, rows = rows_needed(result, baseline)
    there = len(result.run.example_scores)
    if rows > there:
        yield Advice(
            f"For a verdict, to tell a difference of {points(difference, result.head.display_scale)} from {baseline} "
            f"takes about {rows:,} test rows of this kind; there are {there:,}."
        )


def rows_needed(result: Judged, baseline: str) -> tuple[float, int]:
    """Return a difference, and how many test rows a paired test takes to tell it from none.

    n = (z_{0.975} + z_{0.8})^2 s^2 / d^2 with s the standard deviation of the rows' differences: what a paired test at 5%
    with a power of 80% takes (Cohen 1988, "Statistical power analysis", ch. 2). d is the difference that was seen, or
    the smallest one that matters where that is larger.

    Returns:
        d in the unit of the score, and n with two digits that matter.
    """
    run, other = (
        np.asarray(found.example_scores, np.float64) for found in (result.run, result.baselines[baseline])
    )
    differences = run - other
    difference = max(abs(float(differences.mean())), smallest(result.head, float(other.mean())))
    if len(differences) < 2 or not difference:
        return difference, len(differences)
    return difference, rounded_up((Z * float(differences.std(ddof=1)) / difference) ** 2)


def smallest(head: TaskHead, score: float) -> float:
    """Return the smallest difference that matters."""
    return SMALLEST if head.display_scale == 100 else SMALLEST * abs(score)


def rounded_up(rows: float) -> int:
    """Return the next number with two digits that matter."""
    if rows < 1:
        return 1
    unit = 10 ** max(0, floor(log10(rows)) - 1)
    return int(ceil(rows / unit) * unit)


@dataclass(frozen=True)
class Curve:
    """The primary score on the validation rows while training."""

    result: Judged
    train_rows: int
    epochs: int | None

    @property
    def gains(self) -> list[float]:
        """The scores, turned so that higher is better."""
        return [self.result.sign * score for _, score in self.result.run.curve]

    @property
    def smallest(self) -> float:
        return smallest(self.result.head, self.gains[-1])

    def improving(self) -> Iterator[Advice]:
        """Yield that more epochs may help: the last three validations improve, by a difference that matters in all."""
        last = self.gains[-3:]
        if len(last) < 3 or not last[0] < last[1] < last[2] or last[2] - last[0] < self.smallest:
            return
        if last[2] < max(self.gains):
            return
        longer = f": trainer.max_epochs={2 * self.epochs}" if self.epochs else ""
        shown = self.shown(self.result.run.curve[-3:])
        yield Advice(f"{self.name} was still improving at the end ({shown}): more epochs may help{longer}.")

    def worsening(self) -> Iterator[Advice]:
        """Yield that fewer epochs would do: the best validation lies in the first half, and the last is worse by what
        matters."""
        if len(self.gains) < 3:
            return
        best = int(np.argmax(self.gains))
        (seen, _), (total, _) = self.result.run.curve[best], self.result.run.curve[-1]
        if 2 * seen > total or self.gains[best] - self.gains[-1] < self.smallest:
            return
        shown = self.shown([self.result.run.curve[best], self.result.run.curve[-1]])
        after = f"{seen / self.train_rows:.2g} of {total / self.train_rows:.2g} epochs"
        yield Advice(
            f"{self.name} was best after {after} and got worse ({shown}): fewer epochs may do better, or "
            "checkpoint.use_best=true."
        )

    @property
    def name(self) -> str:
        return f"The validation {self.result.head.primary_score}"

    def shown(self, part: Sequence[Sequence[float]]) -> str:
        """Return the scores of a part of the curve."""
        scale = self.result.head.display_scale
        return ", ".join(f"{scale * score:.1f}" for _, score in part)
