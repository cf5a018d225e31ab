"""Predict any number of labels at once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from tlplug import jackknife_values
from tlplug_plugins.heads.problem_types.problem_type import Prediction, Problem

if TYPE_CHECKING:
    import numpy as np
    import torch

SEPARATOR = ","
"""Between labels in one text, as in a CSV cell."""


class MultiLabel(Problem):
    """The loss is the binary cross entropy of each label's sigmoid, a mean over rows and labels.

    A label is predicted where its probability is at least the threshold. Scores: micro F1 (over all decisions),
    macro F1 (mean over labels), mean average precision (over labels that occur) and subset accuracy (all labels right).
    """

    name = "multi_label_classification"
    primary = "micro_f1"

    def names(self, value: Any) -> list[str]:
        """Return the labels of a value: a list, or a text with commas; an empty one has none."""
        parts = value.split(SEPARATOR) if isinstance(value, str) else value
        return list(dict.fromkeys(str(part).strip() for part in parts if str(part).strip()))

    def labels_of(self, values: Sequence[Any]) -> tuple[str, ...]:
        lists = [value for value in values if isinstance(value, (list, str))]
        return tuple(sorted({name for value in lists for name in self.names(value)}))

    def fault(self, value: Any) -> str | None:
        if not isinstance(value, (list, str)):
            return f"should be a list of labels, or a text with '{SEPARATOR}' between them, but is {value!r}"
        if strange := [name for name in self.names(value) if name not in self.index]:
            return f"has {', '.join(strange)}, which no training row has; there is: {', '.join(self.labels)}"
        return None

    def target(self, value: Any) -> list[float]:
        present = set(self.names(value))
        return [float(label in present) for label in self.labels]

    def loss(self, logits: torch.Tensor, targets: torch.Tensor, weights: torch.Tensor | None) -> torch.Tensor:
        from torch.nn.functional import binary_cross_entropy_with_logits

        return binary_cross_entropy_with_logits(logits, targets, weight=weights)

    def outputs(self, logits: torch.Tensor) -> torch.Tensor:
        return logits.sigmoid()

    def prediction(self, output: Sequence[float]) -> dict[str, Any]:
        probabilities = dict(zip(self.labels, output, strict=True))
        chosen = [label for label, probability in probabilities.items() if probability >= self.threshold]
        return {"prediction": chosen, "probabilities": probabilities}

    def scores(self, predictions: Sequence[Prediction], values: Sequence[Any]) -> dict[str, float]:
        import torch
        from torchmetrics.functional import classification as tm

        target = torch.tensor([self.target(value) for value in values]).int()
        probabilities = torch.tensor(
            [list(p["probabilities"].values()) for p in predictions], dtype=torch.float64
        )
        chosen, k = torch.tensor([self.target(p["prediction"]) for p in predictions]).int(), len(self.labels)
        occurs = target.any(dim=0)
        precision = tm.multilabel_average_precision(probabilities, target, k, average="none")
        scores = {
            "micro_f1": tm.multilabel_f1_score(chosen, target, k, average="micro"),
            "macro_f1": tm.multilabel_f1_score(chosen, target, k, average="macro"),
            "mean_average_precision": precision[occurs].mean() if occurs.any() else torch.tensor(0.0),
            "subset_accuracy": (chosen == target).all(dim=1).double().mean(),
        }
        return {name: float(value) for name, value in scores.items()}

    def example_scores(self, predictions: Sequence[Prediction], values: Sequence[Any]) -> list[float]:
        sets = [(set(p["prediction"]), set(self.names(v))) for p, v in zip(predictions, values, strict=True)]
        return jackknife_values(
            [(len(predicted & real), len(predicted) + len(real)) for predicted, real in sets], micro_f1
        )

    def counts(self, values: Sequence[Any]) -> Counter[str]:
        return Counter(name for value in values for name in self.names(value))

    def trivial(self, values: Sequence[Any]) -> list[float]:
        """Return each label's share of the rows."""
        counts = self.counts(values)
        return [counts[label] / len(values) for label in self.labels]


def micro_f1(sums: np.ndarray) -> np.ndarray:
    """2 TP / (predicted + real); 0 where there is neither. `sums` [..., 2]: TP, predicted + real."""
    import numpy as np

    f1: np.ndarray = 2 * sums[..., 0] / np.maximum(sums[..., 1], 1)
    return f1
