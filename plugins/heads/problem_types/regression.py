"""Predict one real number."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from tlplug import jackknife_values
from tlplug_plugins.heads.problem_types.problem_type import Prediction, Problem

if TYPE_CHECKING:
    import numpy as np
    import torch


class Regression(Problem):
    """The loss is the squared error, a mean over the rows.

    Scores: Pearson's and Spearman's correlation (0 where either side is constant), mean squared and absolute error.
    """

    name = "regression"
    primary = "pearson"

    def labels_of(self, values: Sequence[Any]) -> tuple[str, ...]:
        return ("value",)

    def fault(self, value: Any) -> str | None:
        if isinstance(value, bool) or not isinstance(value, (int, float, str)):
            return f"should be a number, but is {value!r}"
        try:
            number = float(value)
        except ValueError:
            return f"should be a number, but is {value!r}"
        return None if math.isfinite(number) else f"should be finite, but is {value!r}"

    def target(self, value: Any) -> list[float]:
        return [float(value)]

    def loss(self, logits: torch.Tensor, targets: torch.Tensor, weights: torch.Tensor | None) -> torch.Tensor:
        from torch.nn.functional import mse_loss

        return mse_loss(logits, targets)

    def outputs(self, logits: torch.Tensor) -> torch.Tensor:
        return logits.squeeze(-1)

    def prediction(self, output: float) -> dict[str, Any]:
        return {"prediction": output}

    def scores(self, predictions: Sequence[Prediction], values: Sequence[Any]) -> dict[str, float]:
        import numpy as np
        from scipy.stats import rankdata

        predicted = np.array([p["prediction"] for p in predictions], np.float64)
        real = np.array([float(value) for value in values], np.float64)
        return {
            "pearson": float(pearson(moments(predicted, real).sum(0))),
            "spearman": float(pearson(moments(rankdata(predicted), rankdata(real)).sum(0))),
            "mse": float(np.mean((predicted - real) ** 2)),
            "mae": float(np.mean(np.abs(predicted - real))),
        }

    def example_scores(self, predictions: Sequence[Prediction], values: Sequence[Any]) -> list[float]:
        import numpy as np

        predicted = np.array([p["prediction"] for p in predictions], np.float64)
        return jackknife_values(moments(predicted, np.array([float(value) for value in values])), pearson)

    def trivial(self, values: Sequence[Any]) -> float:
        """Return the mean."""
        return sum(float(value) for value in values) / len(values)


def moments(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """1, x, y, xx, yy, xy of each row, [n, 6]; centred first, or small spreads around large means would be lost."""
    import numpy as np

    x, y = x - x.mean(), y - y.mean()
    return np.stack([np.ones_like(x), x, y, x * x, y * y, x * y], axis=1)


def pearson(sums: np.ndarray) -> np.ndarray:
    """Pearson's correlation from sums of moments [..., 6]; 0 where x or y is constant."""
    import numpy as np

    n, x, y, xx, yy, xy = np.moveaxis(np.asarray(sums, np.float64), -1, 0)
    n = np.maximum(n, 1)
    spread = (xx - x * x / n) * (yy - y * y / n)
    constant = spread <= 1e-12 * xx * yy
    correlation: np.ndarray = np.where(
        constant, 0.0, (xy - x * y / n) / np.sqrt(np.where(constant, 1.0, spread))
    )
    return correlation
