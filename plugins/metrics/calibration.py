"""Measure the calibration error of the predicted probabilities."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tlplug import Evidence, Fact, NotMeasured, TransferMetric

BINS = 15
PREFIX = "predictions/baseline/"
UNTRAINED = (
    "the base model was not tested: this requires a head without new weights and the baseline zero_shot"
)
Values = dict[str, float | NotMeasured]


class Calibration(TransferMetric):
    """Expected calibration error, and its change by the adaptation.

    `error`: the expected calibration error of the run's test predictions, in [0, 1], as `calibration_error`
    defines it. `change` = error(run) - error(base model), where the base model answers by itself; `change/<b>` = error(run)
    - error(b) for each baseline with probabilities. Only where one label out of several is predicted. On few rows the
    error of even a perfectly calibrated model is well above 0, so compare it on the same rows alone.
    """

    contract = 1
    requires = frozenset({"predictions/after", "targets", "labels"})
    higher_is_better = False
    section = "inherited"

    @dataclass
    class Config:
        bins: int = BINS
        """The number of bins, of equal width."""

        def __post_init__(self) -> None:
            if not 1 <= self.bins <= 10**6:
                raise ValueError(f"bins is {self.bins}; it must be from 1 to a million")

    def measure(self, evidence: Evidence) -> Values:
        labels = list(evidence["labels"])
        classes = classes_of(evidence["targets"], labels)

        def error(name: str) -> float:
            probabilities = distributions(evidence[name], labels)
            return calibration_error(probabilities, classes, self.config.bins)

        own = error("predictions/after")
        values: Values = {"error": own}
        if evidence.get("predictions/before") is None:
            why = evidence.get("reasons", {}).get("predictions/before")
            values["change"] = NotMeasured(why or UNTRAINED)
        else:
            values["change"] = own - error("predictions/before")
        for name in sorted(evidence):
            if name.startswith(PREFIX) and all("probabilities" in one for one in evidence[name]):
                values[f"change/{name.removeprefix(PREFIX)}"] = own - error(name)
        return values

    def describe(self, values: Mapping[str, float | NotMeasured]) -> list[Fact]:
        meaning = "the mean difference between the model's confidence and its accuracy; 0% is perfect"
        facts = [
            ("error", "Calibration error", meaning, "percent"),
            (
                "change",
                "Change to the base model",
                "below zero: better calibrated than the base model",
                "points",
            ),
        ]
        for key in values:
            if key.startswith("change/"):
                name = f"Calibration error, change to {key.removeprefix('change/')}"
                facts.append((key, name, "below zero: the run is better calibrated", "points"))
        return [Fact.of(values, *fact) for fact in facts if fact[0] in values]


def classes_of(targets: Sequence[Mapping[str, Any]], labels: Sequence[str]) -> list[int]:
    """Return the index of each target's label."""
    if not labels:
        raise NotMeasured("the head has no labels")
    index = {label: number for number, label in enumerate(labels)}
    indices = [index.get(str(next(iter(one.values())))) if len(one) == 1 else None for one in targets]
    classes = [number for number in indices if number is not None]
    if not indices or len(classes) < len(indices):
        raise NotMeasured("the targets of the test rows are not single labels of the head")
    return classes


def distributions(predictions: Sequence[Mapping[str, Any]], labels: Sequence[str]) -> np.ndarray:
    """Return the probabilities [n, K] of labels of which one is true.

    Raises:
        NotMeasured: the predictions have none, or those of a row do not sum to 1, as with several labels at once.
    """
    by_label = [prediction.get("probabilities") for prediction in predictions]
    if not by_label or not all(isinstance(one, Mapping) and set(one) == set(labels) for one in by_label):
        raise NotMeasured("the predictions have no probabilities for the head's labels")
    probabilities = np.array([[one[label] for label in labels] for one in by_label], np.float64)
    if not (probabilities >= 0).all() or not np.allclose(probabilities.sum(1), 1.0, atol=1e-3):
        raise NotMeasured("the probabilities of a row do not sum to 1")
    return probabilities


def calibration_error(
    probabilities: Sequence[Sequence[float]] | np.ndarray,
    classes: Sequence[int] | np.ndarray,
    bins: int = BINS,
) -> float:
    """Return the expected calibration error: the sum over bins of |B| / n |accuracy(B) - confidence(B)| (Guo et al. 2017).

    Of the likeliest label alone, whose probability is the confidence; bins [i / bins, (i + 1) / bins) of confidence, and
    one for confidences of exactly 1, as torchmetrics' `multiclass_calibration_error` has them. In [0, 1]; 0 where
    confidence is accuracy in each bin.

    Args:
        probabilities: [n, K], n of at least 1.
        classes: [n], the true label's place.

    Raises:
        ValueError: other shapes, or numbers outside of [0, 1].
    """
    rows, truth = np.asarray(probabilities, np.float64), np.asarray(classes)
    if rows.ndim != 2 or truth.shape != (len(rows),) or not rows.size:
        raise ValueError(f"probabilities must be [n, K] and classes [n], got {rows.shape} and {truth.shape}")
    if not ((rows >= 0) & (rows <= 1)).all():
        raise ValueError("probabilities must lie in [0, 1]")
    confidence, right = rows.max(1), rows.argmax(1) == truth
    place = np.searchsorted(np.linspace(0, 1, bins + 1), confidence, side="right") - 1
    gaps = np.bincount(place, weights=right - confidence)
    return float(np.abs(gaps).sum() / len(rows))
