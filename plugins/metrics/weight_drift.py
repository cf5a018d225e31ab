"""Measure how far the base model's weights changed, and in how many directions."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tlplug import Evidence, Fact, NotMeasured, TransferMetric, WeightChange
from tlplug_plugins.metrics.statistics.layer_metrics import by_layer
from tlplug_plugins.metrics.statistics.singular_values import (
    EPSILON,
    K,
    effective_rank,
    intruder_dimensions,
    singular_values,
    stable_rank,
)

Values = dict[str, float | NotMeasured]
MEANS = ("effective_rank", "stable_rank", "intruder_dimensions")
"""The values that are means over matrices."""
NONE = "these matrices are embeddings, or too large for it (metric.weight_drift.max_matrix_size), or did not change"
FACTS = (
    (
        "relative_change",
        "Relative change of the weights",
        "norm of the change over that of the weights, all matrices together",
        "percent",
    ),
    ("effective_rank", "Effective rank of the change", "number of directions of the change, by entropy"),
    (
        "stable_rank",
        "Stable rank of the change",
        "number of directions of the change, by energy",
    ),
    (
        "intruder_dimensions",
        "Intruder dimensions",
        "leading directions that the base model did not have, mean over matrices; associated with forgetting",
    ),
)
"""The key, name, meaning and form of each fact about the whole model."""


class WeightDrift(TransferMetric):
    """Size of the change of the weights, its number of directions and new ones.

    Of the base model's matrices that changed: `relative_change` = sqrt(sum |change|_F^2 / sum |before|_F^2), 0 or above;
    `effective_rank` and `stable_rank` of the change and `intruder_dimensions` as `weight_drift` defines them, means over
    matrices; each also by layer, `layer/<k>/relative_change` and so on. Heads and adapters that the base model does not
    have are no part of it. Embeddings (layer 0) and matrices with a side above 4 x max_matrix_size have the relative change
    alone, and matrices whose smaller side is above `max_matrix_size` no intruder dimensions.
    """

    contract = 1
    requires = frozenset({"weights/weight_drift"})
    higher_is_better = None
    section = "layers"

    @dataclass
    class Config:
        k: int = K
        """The number of leading singular vectors that are tested for intruders."""
        epsilon: float = EPSILON
        """A vector is an intruder where no vector of before has an absolute cosine with it of at least this."""
        max_matrix_size: int = 1024
        """The largest smaller side of a matrix whose intruders are counted, and whose ranks are computed if its change
        is not a product of factors."""

        def __post_init__(self) -> None:
            if self.k < 1:
                raise ValueError(f"k is {self.k}; it must be at least 1")
            if not 0.0 < self.epsilon <= 1.0:
                raise ValueError(f"epsilon is {self.epsilon}; a cosine's limit must be above 0 and at most 1")
            if self.max_matrix_size < 1:
                raise ValueError(
                    f"max_matrix_size is {self.max_matrix_size}; a matrix has a side of at least 1"
                )

    def weight_change(self, change: WeightChange) -> dict[str, float]:
        """Return sums of squares, and ranks and intruders where the matrix allows it."""
        before, after, largest = change.before, change.after, self.config.max_matrix_size
        changed, norm = squared_sums(before, after)
        whole = change.layer != 0 and max(before.shape) <= 4 * largest
        if change.factors is None and not (whole and min(before.shape) <= largest):
            return {"squared_change": changed, "squared_norm": norm}
        values = singular_values(before, after, change.factors)
        figures = {"squared_change": float(values @ values), "squared_norm": norm}
        if whole and values.any():
            figures |= {"effective_rank": effective_rank(values), "stable_rank": stable_rank(values)}
        if whole and min(before.shape) <= largest:
            figures["intruder_dimensions"] = intruder_dimensions(
                before, after, self.config.k, self.config.epsilon
            )
        return figures

    def measure(self, evidence: Evidence) -> Values:
        matrices = list(evidence["weights/weight_drift"].values())
        if not matrices:
            raise NotMeasured("no matrix of the base model changed")
        values = aggregate(matrices)
        for layer in sorted({matrix["layer"] for matrix in matrices} - {None}):
            own = aggregate([matrix for matrix in matrices if matrix["layer"] == layer])
            values |= {f"layer/{layer}/{name}": value for name, value in own.items()}
        return values

    def describe(self, values: Mapping[str, float | NotMeasured]) -> list[Fact]:
        facts = [Fact.of(values, *fact) for fact in FACTS if fact[0] in values]
        if changes := by_layer(values, "layer/{}/relative_change"):
            facts.append(change_by_layer(changes))
        layers = {name: by_layer(values, f"layer/{{}}/{name}") for name in MEANS}
        return [*facts, *(Fact(name.replace("_", " "), layers=each) for name, each in layers.items() if each)]


def change_by_layer(changes: dict[int, float]) -> Fact:
    """Return the relative change of each layer, shaded by its share of the largest."""
    largest = max(changes, key=lambda layer: changes[layer])
    return Fact(
        "relative change of the weights",
        meaning="The relative change of the weights is the norm of the change over that of the weights.",
        form="percent",
        layers=changes,
        shades={layer: value / (changes[largest] or 1.0) for layer, value in changes.items()},
        finding=f"the weights changed most, by {changes[largest]:.1%}, in layer {largest}",
    )


def squared_sums(before: np.ndarray, after: np.ndarray) -> tuple[float, float]:
    """Return the sums of squares of the change and of `before` in float64, by blocks of rows to save memory."""
    change = norm = 0.0
    for start in range(0, len(before), 4096):
        first, second = (m[start : start + 4096].astype(np.float64) for m in (before, after))
        change, norm = change + float(np.square(second - first).sum()), norm + float(np.square(first).sum())
    return change, norm


def aggregate(matrices: Sequence[Mapping[str, Any]]) -> Values:
    """Return the values of several matrices together."""
    change, norm = (math.fsum(m[name] for m in matrices) for name in ("squared_change", "squared_norm"))
    values: Values = {"relative_change": relative(change, norm)}
    for name in MEANS:
        measured = [matrix[name] for matrix in matrices if name in matrix]
        values[name] = math.fsum(measured) / len(measured) if measured else NotMeasured(NONE)
    return values


def relative(squared_change: float, squared_norm: float) -> float | NotMeasured:
    if not squared_norm > 0:
        return NotMeasured("the weights were all 0 before")
    return math.sqrt(squared_change / squared_norm)


def weight_drift(
    before: np.ndarray,
    after: np.ndarray,
    factors: tuple[np.ndarray, np.ndarray] | None = None,
    k: int = K,
    epsilon: float = EPSILON,
) -> Values:
    """Return the values of one matrix. With s_1 >= s_2 >= ... the singular values of D = after - before:

    * `relative_change` = |D|_F / |before|_F;
    * `effective_rank` = exp(-sum p_i log p_i), p_i = s_i / sum s (Roy & Vetterli 2007), from 1 to the rank of D;
    * `stable_rank` = sum s_i^2 / s_1^2 (Rudelson & Vershynin 2007), from 1 to the rank of D;
    * `intruder_dimensions`: see there, from 0 to k.

    Args:
        before, after: [m, n].
        factors: [m, r] and [r, n] whose product is D; the singular values are then computed from the factors alone.

    Returns:
        Values by name; NotMeasured in place of the ranks of a change of 0 and of a share of a matrix of 0.
    """
    values = singular_values(before, after, factors)
    unchanged = NotMeasured("the matrix did not change")
    norm = float(np.square(np.asarray(before, np.float64)).sum())
    return {
        "relative_change": relative(float(values @ values), norm),
        "effective_rank": effective_rank(values) if values.any() else unchanged,
        "stable_rank": stable_rank(values) if values.any() else unchanged,
        "intruder_dimensions": intruder_dimensions(before, after, k, epsilon),
    }
