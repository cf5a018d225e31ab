"""Predict one label out of two or more."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from tlplug_plugins.heads.problem_types.problem_type import Prediction, Problem, label_text

if TYPE_CHECKING:
    import torch


class SingleLabel(Problem):
    """The loss is the cross entropy of the softmax.

    Scores: accuracy, macro F1, Matthews' correlation, calibration error (Naeini et al. 2015, 15 bins).
    """

    name = "single_label_classification"
    primary = "accuracy"

    def labels_of(self, values: Sequence[Any]) -> tuple[str, ...]:
        """Return the labels: numbers in their order, names in the alphabet's."""
        unique = {value for value in values if self._form_error(value) is None}
        if all(isinstance(value, int | float | Decimal) for value in unique):
            return tuple(dict.fromkeys(label_text(value) for value in sorted(unique)))
        return tuple(sorted({label_text(value) for value in unique}))

    def _form_error(self, value: Any) -> str | None:
        """Return what keeps a value from being a label, whatever labels there are."""
        if isinstance(value, (list, dict)):
            return f"is {value!r}; one label is expected (head.problem_type=multi_label takes several)"
        if value is None or str(value).strip() == "":
            return "is empty"
        if isinstance(value, float | Decimal) and not math.isfinite(value):
            return f"is {value}, which is no label: give the row its label, or take it out"
        return None

    def fault(self, value: Any) -> str | None:
        if error := self._form_error(value):
            return error
        if label_text(value) not in self.index:
            return f"is {value!r}, which no training row has; there is: {', '.join(self.labels)}"
        return None

    def target(self, value: Any) -> int:
        return self.index[label_text(value)]

    def loss(self, logits: torch.Tensor, targets: torch.Tensor, weights: torch.Tensor | None) -> torch.Tensor:
        from torch.nn.functional import cross_entropy

        return cross_entropy(logits, targets, weight=weights)

    def weight(self, targets: torch.Tensor, weights: torch.Tensor | None) -> float:
        """cross_entropy divides by what the rows' classes weigh."""
        return len(targets) if weights is None else float(weights[targets].sum())

    def outputs(self, logits: torch.Tensor) -> torch.Tensor:
        return logits.softmax(dim=-1)

    def prediction(self, output: Sequence[float]) -> dict[str, Any]:
        best = max(range(len(self.labels)), key=output.__getitem__)
        return {
            "prediction": self.labels[best],
            "probabilities": dict(zip(self.labels, output, strict=True)),
        }

    def scores(self, predictions: Sequence[Prediction], values: Sequence[Any]) -> dict[str, float]:
        import torch
        from torchmetrics.functional import classification as tm

        target = torch.tensor([self.target(value) for value in values])
        probabilities = torch.tensor(
            [list(p["probabilities"].values()) for p in predictions], dtype=torch.float64
        )
        chosen, k = torch.tensor([self.index[p["prediction"]] for p in predictions]), len(self.labels)
        scores = {
            "accuracy": tm.multiclass_accuracy(chosen, target, k, average="micro"),
            "macro_f1": tm.multiclass_f1_score(chosen, target, k, average="macro"),
            "mcc": tm.multiclass_matthews_corrcoef(chosen, target, k),
            "calibration_error": tm.multiclass_calibration_error(probabilities, target, k),
        }
        return {name: float(value) for name, value in scores.items()}

    def example_scores(self, predictions: Sequence[Prediction], values: Sequence[Any]) -> list[float]:
        return [
            float(p["prediction"] == label_text(value)) for p, value in zip(predictions, values, strict=True)
        ]

    def counts(self, values: Sequence[Any]) -> Counter[str]:
        return Counter(label_text(value) for value in values)

    def trivial(self, values: Sequence[Any]) -> list[float]:
        """Return the labels' shares, of which the largest is predicted."""
        counts = self.counts(values)
        return [counts[label] / len(values) for label in self.labels]
