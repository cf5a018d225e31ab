"""Measure the likelihood of the classes given the base model's own predictions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from tlplug import Evidence, Fact, NotMeasured, TransferMetric
from tlplug_plugins.metrics.statistics.array_checks import classes_of, matrix, one_hot

TOLERANCE = 1e-3
"""The tolerance of the sum of a row's probabilities, wide enough for float16."""


class LEEP(TransferMetric):
    """How well the base model's own predictions determine the classes.

    With the source classifier's probabilities t [p, Z] and classes y [p]: P(y, z) the mean over the rows of class y of
    t_z (over all p rows), P(y | z) = P(y, z) / P(z), and LEEP = mean over rows i of log sum_z P(y_i | z) t_iz, in nats
    (Nguyen et al. 2020, "LEEP: a new measure to evaluate transferability of learned representations"). At most 0, where
    each source class means one class; higher is better; minus the entropy of y where t says nothing of y. A source class
    that no row has any probability of takes no part. The value is `before`; the base model has to have come with a
    classifier. One class: not measured.
    """

    contract = 1
    requires = frozenset({"source_probabilities", "classes"})
    higher_is_better = True
    section = "ranking"

    def measure(self, evidence: Evidence) -> dict[str, float]:
        return {"before": leep(evidence["source_probabilities"], evidence["classes"])}

    def describe(self, values: Mapping[str, float | NotMeasured]) -> list[Fact]:
        return [Fact.of(values, "before", "by the base model's own classifier", form="decimal")]


def leep(source_probabilities: Any, labels: Any) -> float:
    """Return LEEP of probabilities [N, Z], each row a distribution over source classes, and labels [N]: see `LEEP`.

    Raises:
        ValueError: wrong shapes, values that are not finite, or rows that are no distribution.
        NotMeasured: all labels are the same.
    """
    probabilities = distributions(source_probabilities)
    classes = classes_of(labels, len(probabilities))
    joint = one_hot(classes).T @ probabilities
    joint = joint[:, joint.any(axis=0)]
    probabilities = probabilities[:, probabilities.any(axis=0)]
    expected = probabilities @ (joint / joint.sum(axis=0)).T
    return float(np.log(expected[np.arange(len(probabilities)), classes]).mean())


def distributions(probabilities: Any) -> np.ndarray:
    values = matrix(probabilities, "source probabilities")
    sums = values.sum(axis=1, keepdims=True)
    if (values < 0.0).any() or np.abs(sums - 1.0).max() > TOLERANCE:
        raise ValueError("source probabilities must be at least 0 and sum to 1 in each row")
    return values / sums
