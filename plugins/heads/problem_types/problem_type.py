"""What each problem answers for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

if TYPE_CHECKING:
    import torch

Prediction = dict[str, Any]


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
        """The labels among the training rows' values."""
        raise NotImplementedError

    def fault(self, value: Any) -> str | None:
        """What is wrong with a value: the words after `column 'label'`."""
        raise NotImplementedError

    def target(self, value: Any) -> Any:
        """The value as a number or a list of K numbers."""
        raise NotImplementedError

    def loss(self, logits: torch.Tensor, targets: torch.Tensor, weights: torch.Tensor | None) -> torch.Tensor:
        """The mean over the rows of logits [N, K]; `weights` [K] of the labels."""
        raise NotImplementedError

    def weight(self, targets: torch.Tensor, weights: torch.Tensor | None) -> float:
        """What that mean is divided by: the rows, unless they weigh differently."""
        return len(targets)

    def outputs(self, logits: torch.Tensor) -> torch.Tensor:
        """What a row of logits [N, K] says: [N, K], or [N] of a single number."""
        raise NotImplementedError

    def prediction(self, output: Any) -> dict[str, Any]:
        """`prediction` and what goes with it, of one row's output."""
        raise NotImplementedError

    def scores(self, predictions: Sequence[Prediction], values: Sequence[Any]) -> dict[str, float]:
        """All scores, over whole predictions."""
        raise NotImplementedError

    def example_scores(self, predictions: Sequence[Prediction], values: Sequence[Any]) -> list[float]:
        """One number for each row; their mean is the primary score."""
        raise NotImplementedError

    def trivial(self, values: Sequence[Any]) -> Any:
        """The output for every row that needs no model, from the training rows' values."""
        raise NotImplementedError

    def class_weights(self, values: Sequence[Any], asked: Mapping[str, float] | str) -> list[float]:
        """K weights of the loss: as asked by label, or `balanced`: n / (K n_k) for a label of n_k among n rows."""
        if not isinstance(asked, str):
            return [float(asked.get(label, 1.0)) for label in self.labels]
        counts = self.counts(values)
        return [len(values) / (len(self.labels) * counts[label]) for label in self.labels]

    def counts(self, values: Sequence[Any]) -> Mapping[str, int]:
        """How many of the values have each label."""
        raise NotImplementedError
