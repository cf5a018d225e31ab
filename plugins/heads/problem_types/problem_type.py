"""Define the interface of a problem type."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import TYPE_CHECKING, Any, ClassVar

if TYPE_CHECKING:
    import torch

Prediction = dict[str, Any]


def label_text(value: Any) -> str:
    """Return the name of a label. A whole number has one name: `1` for 1 and 1.0, `0` for -0.0."""
    if isinstance(value, float | Decimal) and math.isfinite(value) and value == int(value):
        return str(int(value))
    return str(value)


class Problem:
    """What a value in the column `label` means, what is lost by a wrong one and how predictions are scored.

    N rows, K logits of a row, one for each label.
    """

    name: ClassVar[str]
    """transformers' name, for the model's config."""
    primary: ClassVar[str]

    def __init__(self, labels: Sequence[str], threshold: float) -> None:
        self.labels = tuple(labels)
        self.threshold = threshold
        self.index = {label: position for position, label in enumerate(labels)}

    def labels_of(self, values: Sequence[Any]) -> tuple[str, ...]:
        """Return the labels among the training rows' values."""
        raise NotImplementedError

    def fault(self, value: Any) -> str | None:
        """Return what is wrong with a value, in words that follow `column 'label'`."""
        raise NotImplementedError

    def target(self, value: Any) -> Any:
        """Return the value as a number or a list of K numbers."""
        raise NotImplementedError

    def loss(self, logits: torch.Tensor, targets: torch.Tensor, weights: torch.Tensor | None) -> torch.Tensor:
        """Return the mean loss over the rows of logits [N, K]; `weights` [K] of the labels."""
        raise NotImplementedError

    def weight(self, targets: torch.Tensor, weights: torch.Tensor | None) -> float:
        """Return the divisor of that mean: the number of rows, unless they weigh differently."""
        return len(targets)

    def outputs(self, logits: torch.Tensor) -> torch.Tensor:
        """Return the outputs of logits [N, K]: [N, K], or [N] for a single number."""
        raise NotImplementedError

    def prediction(self, output: Any) -> dict[str, Any]:
        """`prediction` and what goes with it, of one row's output."""
        raise NotImplementedError

    def scores(self, predictions: Sequence[Prediction], values: Sequence[Any]) -> dict[str, float]:
        """Return all scores of whole predictions."""
        raise NotImplementedError

    def example_scores(self, predictions: Sequence[Prediction], values: Sequence[Any]) -> list[float]:
        """Return one number for each row; their mean is the primary score."""
        raise NotImplementedError

    def trivial(self, values: Sequence[Any]) -> Any:
        """Return the trivial baseline's output for every row, from the training rows' values."""
        raise NotImplementedError

    def class_weights(self, values: Sequence[Any], weights: Mapping[str, float] | str) -> list[float]:
        """K weights of the loss: as asked by label, or `balanced`: n / (K n_k) for a label of n_k among n rows."""
        if not isinstance(weights, str):
            return [float(weights.get(label, 1.0)) for label in self.labels]
        counts = self.counts(values)
        return [len(values) / (len(self.labels) * counts[label]) for label in self.labels]

    def counts(self, values: Sequence[Any]) -> Mapping[str, int]:
        """Return how many of the values have each label."""
        raise NotImplementedError
