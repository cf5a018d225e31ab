"""Measure how much of the source task the adapted model retains."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from tlplug import Evidence, Fact, NotMeasured, TransferMetric

Values = dict[str, float | NotMeasured]
SCORES = ("scores/before/source", "scores/after/source")
PROBE = ("features/before/source", "features/after/source", "classes/source")


FACTS = (
    (
        "source_score/before",
        "Source score, before",
        "primary score of the base model on labelled source rows",
        "score",
    ),
    ("source_score/after", "Source score, after", "of the adapted model on the same rows", "score"),
    (
        "source_score/change",
        "Change of the source score",
        "backward transfer; a worse score than before is forgetting",
        "gain",
        "source score, after minus before",
    ),
    (
        "probe/before",
        "Source probe, before",
        "accuracy of a linear classifier on the last layer's features of source rows",
        "percent",
    ),
    ("probe/after", "Source probe, after", "for the adapted model", "percent"),
    (
        "probe/change",
        "Change of the source probe",
        "below zero: the features of the last layer contain less about the source classes",
        "points",
        "probe on source rows, after minus before",
    ),
)
"""The key, name, meaning and form of each fact of the report, and its column over several runs."""


class Retention(TransferMetric):
    """Scores on the source task before and after; a change below 0 is forgetting.

    `source_score/before`, `/after`: the primary score on labelled source rows, where the base model answers by itself;
    `source_score/change` = after - before, the backward transfer of two tasks (Lopez-Paz & Ranzato 2017), whose
    direction is the score's. `probe/before`, `/after`, `/change`: how well the classes of labelled source rows can still
    be read off the last layer's features [p, D], as the accuracy in [0, 1] of a logistic regression (Alain & Bengio
    2017, "Understanding intermediate layers using linear classifier probes"; `probe_accuracy`). The folds are the
    same before and after. If the probe holds while the score falls, the features are retained and the answers are not.
    """

    contract = 1
    requires: frozenset[str] = frozenset()
    higher_is_better = None  # the source score has a direction of its own
    section = "forgotten"

    @dataclass
    class Config:
        folds: int = 5
        """The number of folds of the probe's cross-validation."""
        seed: int = 0
        """The seed of the assignment of rows to folds."""

        def __post_init__(self) -> None:
            if self.folds < 2:
                raise ValueError(f"folds is {self.folds}; a cross-validation needs at least 2")
            if self.seed < 0:
                raise ValueError(f"seed is {self.seed}; it must be 0 or more")

    def measure(self, evidence: Evidence) -> Values:
        values = before_and_after("source_score", self._scores, evidence)
        values |= before_and_after("probe", self._probes, evidence)
        reasons = {str(value) for value in values.values() if isinstance(value, NotMeasured)}
        if all(isinstance(value, NotMeasured) for value in values.values()):
            raise NotMeasured("; ".join(sorted(reasons)))
        return values

    def describe(self, values: Mapping[str, float | NotMeasured]) -> list[Fact]:
        return [Fact.of(values, *fact) for fact in FACTS if fact[0] in values]

    def _scores(self, evidence: Evidence) -> list[float]:
        before, after = recorded(evidence, SCORES)
        primary = evidence.get("primary_score")
        if primary not in before or primary not in after:
            raise NotMeasured(f"the source rows were not scored by the primary score ({primary})")
        return [float(before[primary]), float(after[primary])]

    def _probes(self, evidence: Evidence) -> list[float]:
        *features, classes = recorded(evidence, PROBE)
        try:
            return [
                probe_accuracy(layers[-1], classes, self.config.folds, self.config.seed)
                for layers in features
            ]
        except ValueError as error:
            raise NotMeasured(str(error)) from error


def recorded(evidence: Evidence, names: Sequence[str]) -> list:  # type: ignore[type-arg]
    """Return the evidence of these names, or the reason why some is missing."""
    for name in names:
        if evidence.get(name) is None:
            raise NotMeasured(evidence.get("reasons", {}).get(name) or f"no evidence of {name}")
    return [evidence[name] for name in names]


def before_and_after(name, pair_of, evidence: Evidence) -> Values:  # type: ignore[no-untyped-def]
    try:
        before, after = pair_of(evidence)
    except NotMeasured as reason:
        return dict.fromkeys((f"{name}/before", f"{name}/after", f"{name}/change"), reason)
    return {f"{name}/before": before, f"{name}/after": after, f"{name}/change": after - before}


def backward_transfer(scores: Sequence[Sequence[float]] | np.ndarray) -> float:
    """Return the backward transfer of later tasks to earlier ones: sum over i < T of (R[T, i] - R[i, i]) / (T - 1).

    Below 0 is forgetting, where higher scores are better (Lopez-Paz & Ranzato 2017, "Gradient episodic memory").

    Args:
        scores: R, shape [T, T], T of at least 2: the score on task j after task i. Only its diagonal and its last
            row are read.

    Raises:
        ValueError: another shape, or a number that is read is not finite.
    """
    matrix = square(scores)
    return finite_mean(matrix[-1, :-1] - np.diag(matrix)[:-1])


def forward_transfer(
    scores: Sequence[Sequence[float]] | np.ndarray, baseline: Sequence[float] | np.ndarray
) -> float:
    """Return the forward transfer of earlier tasks to later ones: sum over i > 1 of (R[i-1, i] - b[i]) / (T - 1).

    Above 0 they helped, where higher scores are better (Lopez-Paz & Ranzato 2017).

    Args:
        scores: R, shape [T, T], T of at least 2. Only what stands right above its diagonal is read.
        baseline: b, shape [T]: the score on each task of a model that has learnt none; b[1] is not read.

    Raises:
        ValueError: another shape, or a number that is read is not finite.
    """
    matrix, untrained = square(scores), np.asarray(baseline, np.float64)
    if untrained.shape != (len(matrix),):
        raise ValueError(
            f"baseline must be a score for each of {len(matrix)} tasks, got shape {untrained.shape}"
        )
    return finite_mean(np.diag(matrix, 1) - untrained[1:])


def square(scores: Sequence[Sequence[float]] | np.ndarray) -> np.ndarray:
    matrix = np.asarray(scores, np.float64)
    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1] or len(matrix) < 2:
        raise ValueError(f"scores must be [T, T] for two tasks at least, got shape {matrix.shape}")
    return matrix


def finite_mean(values: np.ndarray) -> float:
    if not np.isfinite(values).all():
        raise ValueError("the scores that are compared must be finite")
    return float(values.mean())


def probe_accuracy(
    features: np.ndarray, classes: Sequence[int] | np.ndarray, folds: int = 5, seed: int = 0
) -> float:
    """Return the accuracy of a logistic regression on standardised features, the mean over stratified folds.

    Rows of a class with fewer rows than folds are omitted, since they cannot be in each fold.

    Args:
        features: [p, D]. classes: [p].

    Raises:
        ValueError: fewer than two classes are left, or a feature is not finite.
    """
    from sklearn.linear_model import LogisticRegression  # type: ignore[import-untyped]
    from sklearn.model_selection import StratifiedKFold, cross_val_score  # type: ignore[import-untyped]
    from sklearn.pipeline import make_pipeline  # type: ignore[import-untyped]
    from sklearn.preprocessing import StandardScaler  # type: ignore[import-untyped]

    names, counts = np.unique(classes, return_counts=True)
    enough = np.isin(classes, names[counts >= folds])
    if (counts >= folds).sum() < 2:
        raise ValueError(
            f"a probe in {folds} folds needs two classes of {folds} rows at least; there are {counts.tolist()}"
        )
    rows, labels = np.asarray(features, np.float64)[enough], np.asarray(classes)[enough]
    if not np.isfinite(rows).all():
        raise ValueError("the features are not all finite")
    probe = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
    splits = StratifiedKFold(folds, shuffle=True, random_state=seed)
    return float(cross_val_score(probe, rows, labels, cv=splits, scoring="accuracy").mean())
