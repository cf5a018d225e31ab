"""Compute the perplexity of predictions with `nll` and `tokens`, and the unigram model it is compared with."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from tlplug import UsageError

if TYPE_CHECKING:
    import numpy as np


def perplexity(sums: np.ndarray) -> np.ndarray:
    """exp(nll / tokens) of sums [..., 2]."""
    import numpy as np

    values: np.ndarray = np.exp(sums[..., 0] / sums[..., 1])
    return values


def statistics(predictions: Sequence[Mapping[str, Any]]) -> list[list[float]]:
    """`nll` and `tokens` of each prediction, [n, 2].

    Raises:
        UsageError: a row had no answer, so that there is only something generated.
    """
    for prediction in predictions:
        if "nll" not in prediction:
            raise UsageError(f"row {prediction['id']} has no answer: it can be predicted, but not scored")
    return [[prediction["nll"], prediction["tokens"]] for prediction in predictions]


def whole_perplexity(predictions: Sequence[Mapping[str, Any]]) -> float:
    """Return the perplexity over all tokens of all rows."""
    import numpy as np

    return float(perplexity(np.sum(statistics(predictions), axis=0)))


def shares(predictions: Sequence[Mapping[str, Any]]) -> list[float]:
    """Return one number for each row, whose mean is the perplexity of all rows."""
    from tlplug import jackknife_values

    return jackknife_values(statistics(predictions), perplexity)


def likelihood_prediction(identity: int, parts: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Sum a row's parts; the prediction is the row's own perplexity."""
    nll = math.fsum(part["nll"] for part in parts)
    tokens, right = (sum(part[name] for part in parts) for name in ("tokens", "right"))
    own = float(perplexity_of(nll, tokens))
    return {"id": identity, "prediction": own, "nll": nll, "tokens": tokens, "right": right}


def perplexity_of(nll: float, tokens: int) -> float:
    import numpy as np

    return float(perplexity(np.array([nll, max(1, tokens)], np.float64)))


class Unigram:
    """A token's probability is its share of the training tokens, whatever stands before it.

    (count + 1) / (N + V) of N tokens and a vocabulary of V: add-one smoothing (Laplace).
    """

    def __init__(self, tokens: Iterable[int], vocabulary: int) -> None:
        self.counts = Counter(tokens)
        self.total = self.counts.total() + vocabulary
        self.commonest = self.counts.most_common(1)[0][0] if self.counts else 0

    def likelihood(self, tokens: Sequence[int]) -> dict[str, Any]:
        """Return the likelihood in the form of `likelihoods`."""
        nll = -math.fsum(math.log((self.counts[token] + 1) / self.total) for token in tokens)
        return {"nll": nll, "tokens": len(tokens), "right": sum(token == self.commonest for token in tokens)}


def by_row(outputs: Iterable[Mapping[str, Any]]) -> dict[int, list[Mapping[str, Any]]]:
    """Outputs of each row by its id, parts in their order."""
    by_id: dict[int, list[Mapping[str, Any]]] = {}
    for output in outputs:
        by_id.setdefault(output["id"], []).append(output)
    return by_id
