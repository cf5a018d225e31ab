"""Measure the likelihood of source texts before and after."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from tlplug import Evidence, Fact, NotMeasured, TransferMetric
from tlplug_plugins.metrics.transfer_gain import Resampling

FACTS = (
    (
        "before",
        "Loss on source texts, before",
        "mean of -log p(token) in nats; lower is better",
        "decimal",
    ),
    ("after", "Loss on source texts, after", "for the adapted model", "decimal"),
    (
        "change",
        "Change of the loss",
        "above zero is forgetting; with its 95% interval over texts",
        "signed",
        "change of the loss on source texts, nats a token",
    ),
    (
        "perplexity_ratio",
        "Perplexity ratio",
        "after over before: 1 is unchanged, above 1 is forgetting",
        "number",
        "perplexity ratio on source texts",
    ),
)
"""The key, name, meaning and form of each fact of the report, and its column over several runs."""


class SourceNLL(TransferMetric):
    """Loss on source texts before and after; an increase is forgetting.

    In nats a token, over all tokens of p source texts and not a mean of the texts' means. `change` = after - before,
    with `change/low` and `change/high` its 95% interval over texts; `perplexity_ratio` = exp(change): 1.1 is a perplexity
    that is a tenth higher. The formulas are those of `source_nll`. Only for models that give texts a likelihood.
    """

    contract = 1
    requires = frozenset({"nll/before/source", "nll/after/source"})
    higher_is_better = False
    section = "forgotten"

    Config = Resampling

    def measure(self, evidence: Evidence) -> dict[str, float]:
        before, after = (evidence[f"nll/{stage}/source"] for stage in ("before", "after"))
        return source_nll(before, after, self.config.resamples, self.config.seed)

    def describe(self, values: Mapping[str, float | NotMeasured]) -> list[Fact]:
        return [Fact.of(values, *fact) for fact in FACTS if fact[0] in values]


def source_nll(
    before: Sequence[Sequence[float]] | np.ndarray,
    after: Sequence[Sequence[float]] | np.ndarray,
    resamples: int = 10_000,
    seed: int = 0,
) -> dict[str, float]:
    """Return the token-weighted negative log-likelihood before and after.

    With l_i the sum of -log p(token) of text i and w_i its tokens: L = sum l_i / sum w_i, `change` = L_after - L_before,
    `perplexity_ratio` = exp(change). The interval is a paired percentile bootstrap over texts (Efron & Tibshirani
    1993) of the ratio of sums: a draw takes a text's tokens and both its likelihoods together. Texts without a
    token are left out.

    Args:
        before, after: [p, 2] of the same texts: sums in nats, and numbers of tokens, which are the same in both.

    Raises:
        ValueError: other shapes, other texts, a number that is not finite, or no token at all.
    """
    first, second = np.asarray(before, np.float64), np.asarray(after, np.float64)
    if first.shape != second.shape or first.ndim != 2 or first.shape[1] != 2:
        raise ValueError(f"both must be [p, 2] of the same texts, got {first.shape} and {second.shape}")
    if not (np.isfinite(first).all() and np.isfinite(second).all()):
        raise ValueError("a text's likelihood is not finite")
    if (first[:, 1] != second[:, 1]).any() or (first[:, 1] < 0).any():
        raise ValueError("both must have the same number of tokens for each text")
    some = first[:, 1] > 0
    if not some.any():
        raise ValueError("there is no token in the texts")
    tokens, increase = first[some, 1], second[some, 0] - first[some, 0]
    change, total = float(increase.sum() / tokens.sum()), float(tokens.sum())
    low, high = np.percentile(resampled_ratios(increase, tokens, resamples, seed), [2.5, 97.5])
    return {
        "before": float(first[some, 0].sum() / total),
        "after": float(second[some, 0].sum() / total),
        "change": change,
        "change/low": float(low),
        "change/high": float(high),
        "perplexity_ratio": float(np.exp(change)),
    }


def resampled_ratios(above: np.ndarray, below: np.ndarray, resamples: int, seed: int) -> np.ndarray:
    """Return sum(above) / sum(below) of bootstrap samples of the pairs, [resamples]."""
    rng, count, ratios = np.random.default_rng(seed), len(above), []
    for start in range(0, resamples, 1000):  # All draws at once would take resamples x p numbers.
        size = min(1000, resamples - start)
        draws = rng.multinomial(count, np.full(count, 1 / count), size=size)
        ratios.append((draws @ above) / (draws @ below))
    return np.concatenate(ratios)
