"""Compare the learning curve with that of training from scratch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from tlplug import Evidence, Fact, NotMeasured, TransferMetric

SCRATCH = "curve/baseline/scratch"
Values = dict[str, float | NotMeasured]
FACTS = (
    ("jumpstart", "Jumpstart", "gain over scratch at the first validation", "gain"),
    ("asymptotic_gain", "Gain at the end", "gain over scratch at the last validation", "gain"),
    ("transfer_ratio", "Transfer ratio", "area between the two curves over the area under that of scratch"),
    (
        "area",
        "Area between the curves",
        "area between the curves of the run and of scratch, in score times examples",
    ),
    (
        "examples_to_threshold",
        "Examples to reach the threshold",
        "the threshold is the last score of scratch, unless it is set",
    ),
    (
        "scratch_examples_to_threshold",
        "Examples to reach it from scratch",
        "examples that training from scratch needed",
    ),
)
"""The key, name, meaning and form of each fact of the report."""


class LearningCurve(TransferMetric):
    """Head start, final gain and examples saved, against training from scratch.

    From the primary score on the validation rows (Taylor & Stone 2009, section 2.2). The default threshold is the last
    score of scratch. Gains above 0 are for the transfer, whichever direction of the score is better.

    With t and s the scores of transfer and scratch at the same counts x_1 < ... < x_k, and A(.) the area under a curve
    by the trapezoid rule:

    * `jumpstart` = t_1 - s_1, in units of the score; at the first validation, which is before training only where
      x_1 is 0;
    * `asymptotic_gain` = t_k - s_k: at the last validation, which is the asymptote only where the curves are flat;
    * `area` = A(t) - A(s), in score times examples;
    * `transfer_ratio` = (A(t) - A(s)) / A(s);
    * `examples_to_threshold`, `scratch_examples_to_threshold`: the least x_i at which the score is at least the
      threshold. Nothing is interpolated between validations.

    Where lower scores are better (a perplexity), all four differences are s - t, so that above 0 is better; the
    ratio is (A(s) - A(t)) / A(s), at most 1; and a threshold is reached from above.
    """

    contract = 1
    requires = frozenset({"curve/after"})
    higher_is_better = True
    section = "curve"

    @dataclass
    class Config:
        threshold: float | None = None
        """The score to be reached, on the score's own scale (0.9, not 90); null: what scratch ends with."""

        def __post_init__(self) -> None:
            if self.threshold is not None and not np.isfinite(self.threshold):
                raise ValueError(f"threshold is {self.threshold}; it must be a finite score")

    def measure(self, evidence: Evidence) -> Values:
        if evidence.get(SCRATCH) is None:
            raise NotMeasured("there is no training from scratch; set transfer.baselines=[...,scratch]")
        transfer, scratch = (np.asarray(evidence[name], np.float64) for name in ("curve/after", SCRATCH))
        if not len(transfer) or not len(scratch):
            raise NotMeasured("there was no validation during training")
        if not np.array_equal(transfer[:, 0], scratch[:, 0]):
            raise NotMeasured("the run and scratch were validated after different numbers of examples")
        threshold = self.config.threshold
        return learning_curve(
            transfer[:, 0],
            transfer[:, 1],
            scratch[:, 1],
            float(scratch[-1, 1]) if threshold is None else threshold,
            bool(evidence.get("higher_is_better", True)),
        )

    def describe(self, values: Mapping[str, float | NotMeasured]) -> list[Fact]:
        return [Fact.of(values, *fact) for fact in FACTS if fact[0] in values]


def learning_curve(
    examples: Sequence[float],
    transfer: Sequence[float],
    scratch: Sequence[float],
    threshold: float,
    higher_is_better: bool = True,
) -> Values:
    """Return the values of two learning curves (Taylor & Stone 2009, section 2.2).

    The formulas are those of `LearningCurve`.

    Args:
        examples: shape [k], ascending.
        transfer, scratch: scores, shape [k].

    Returns:
        Values by name; NotMeasured in place of an area of a single validation, of a ratio to an area that is not
        above 0, and of a threshold that is not reached.

    Raises:
        ValueError: shapes differ, counts do not ascend, a number is not finite.
    """
    x, t, s = (np.asarray(values, np.float64) for values in (examples, transfer, scratch))
    if not (x.ndim == 1 and x.shape == t.shape == s.shape and len(x)):
        raise ValueError(f"curves must be of one length above 0, got {x.shape}, {t.shape} and {s.shape}")
    if not np.isfinite([*x, *t, *s, threshold]).all() or (np.diff(x) <= 0).any():
        raise ValueError("counts of examples must ascend, and all numbers be finite")
    sign = 1.0 if higher_is_better else -1.0
    values: Values = {
        "jumpstart": float(sign * (t[0] - s[0])),
        "asymptotic_gain": float(sign * (t[-1] - s[-1])),
    }
    values |= areas(x, t, s, sign)
    values["examples_to_threshold"] = first_count(x, sign * t, sign * threshold, threshold)
    values["scratch_examples_to_threshold"] = first_count(x, sign * s, sign * threshold, threshold)
    return values


def areas(x: np.ndarray, t: np.ndarray, s: np.ndarray, sign: float) -> Values:
    """Return `area` and `transfer_ratio`."""
    if len(x) == 1:
        single = NotMeasured("there was only one validation")
        return {"transfer_ratio": single, "area": single}
    under, area = float(np.trapezoid(s, x)), float(sign * np.trapezoid(t - s, x))
    missing = NotMeasured("the area under the curve of scratch is not above 0")
    return {"transfer_ratio": area / under if under > 0 else missing, "area": area}


def first_count(x: np.ndarray, scores: np.ndarray, least: float, threshold: float) -> float | NotMeasured:
    """Return the first count at which the score is at least `least`."""
    indices = np.flatnonzero(scores >= least)
    if not len(indices):
        return NotMeasured(f"the score never reaches the threshold of {threshold:g}")
    return float(x[indices[0]])
