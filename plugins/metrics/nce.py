"""Measure the conditional entropy of the classes given the base model's own labels."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from tlplug import Evidence, Fact, NotMeasured, TransferMetric
from tlplug_plugins.metrics.statistics.array_checks import class_indices, classes_of


class NCE(TransferMetric):
    """How well the base model's own labels determine the classes.

    The negative conditional entropy -H(Y | Z) = sum_{y, z} P(y, z) log P(y | z) of classes y [p] given source labels
    z [p], in nats (Tran et al. 2019, "Transferability and hardness of supervised classification tasks"). The source label
    of a row is the one that the base model's own classifier gives most probability, the first where several do. From
    minus the entropy of the classes, where z says nothing of them, to 0, where it determines them; higher is better. More
    source labels are closer to 0 by chance. The value is `before`. One class: not measured.
    """

    contract = 1
    requires = frozenset({"source_probabilities", "classes"})
    higher_is_better = True
    section = "ranking"

    def measure(self, evidence: Evidence) -> dict[str, float]:
        return {"before": nce(np.argmax(evidence["source_probabilities"], axis=1), evidence["classes"])}

    def describe(self, values: Mapping[str, float | NotMeasured]) -> list[Fact]:
        return [Fact.of(values, "before", "by the base model's own classifier", form="decimal")]


def nce(source_labels: Any, labels: Any) -> float:
    """Return -H(labels | source labels) of two arrays [N], in nats: see `NCE`.

    Raises:
        ValueError: wrong shapes, or labels that are not classes.
        NotMeasured: all labels are the same.
    """
    from scipy.special import xlogy

    rows = np.size(source_labels)
    sources, classes = class_indices(source_labels, rows, "source labels"), classes_of(labels, rows)
    joint = np.zeros((sources.max() + 1, classes.max() + 1))
    np.add.at(joint, (sources, classes), 1.0 / rows)
    return float(xlogy(joint, joint / joint.sum(axis=1, keepdims=True)).sum())
