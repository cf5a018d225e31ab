"""Measure the similarity of the features before and after, layer by layer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from tlplug import Evidence, Fact, NotMeasured, TransferMetric
from tlplug_plugins.metrics.statistics.layer_metrics import by_layer

LEAST_ROWS = 4


class CKA(TransferMetric):
    """Similarity of each layer's features before and after: 1 is equal, 0 unrelated.

    Linear centred kernel alignment (Kornblith et al. 2019) by the unbiased estimator of `linear_cka`, between the features
    [p, D] of the same p rows. `layer/0` is what goes into the first block, `layer/<k>` the k-th block's output; `mean`
    is over the layers that could be measured. It does not see a rotation or a scale of the features, so 1 does not mean
    that no weight changed.
    """

    contract = 1
    requires = frozenset({"features/before", "features/after"})
    higher_is_better = None
    section = "layers"

    def measure(self, evidence: Evidence) -> dict[str, float | NotMeasured]:
        before, after = (np.asarray(evidence[name]) for name in ("features/before", "features/after"))
        if before.shape != after.shape:
            raise NotMeasured(
                f"the features have different shapes before and after: {before.shape}, {after.shape}"
            )
        layers = {f"layer/{k}": of_layer(*pair) for k, pair in enumerate(zip(before, after, strict=True))}
        measured = [value for value in layers.values() if not isinstance(value, NotMeasured)]
        if not measured:
            raise NotMeasured(str(next(iter(layers.values()), "the features have no layers")))
        return {"mean": float(np.mean(measured)), **layers}

    def describe(self, values: Mapping[str, float | NotMeasured]) -> list[Fact]:
        mean = Fact.of(
            values,
            "mean",
            "CKA, mean over layers",
            "1: unchanged, except for rotation and scale",
            "decimal",
        )
        facts = [replace(mean, headline="similarity to the base model")]
        if layers := by_layer(values, "layer/{}"):
            least = min(layers, key=lambda layer: layers[layer])
            layered = Fact(
                "CKA",
                meaning="CKA is the similarity of a layer's features of the same texts before and after: 1 is equal, 0 "
                "unrelated.",
                form="decimal",
                layers=layers,
                # An unbiased estimate may lie a little outside of 0 to 1.
                shades={layer: min(max(1 - value, 0.0), 1.0) for layer, value in layers.items()},
                finding=f"CKA before to after is lowest, {layers[least]:.3f}, in layer {least}",
            )
            facts.append(layered)
        return facts


def of_layer(before: np.ndarray, after: np.ndarray) -> float | NotMeasured:
    try:
        return linear_cka(before, after)
    except ValueError as error:
        return NotMeasured(str(error))


def linear_cka(
    x: Sequence[Sequence[float]] | np.ndarray,
    y: Sequence[Sequence[float]] | np.ndarray,
    batch: int | None = None,
) -> float:
    """Return HSIC(x, y) / sqrt(HSIC(x, x) HSIC(y, y)) with the unbiased HSIC_1 of `hsic`.

    In [-1, 1]; about 0 of independent features however wide they are, where the biased form comes near 1 as the width
    exceeds the rows. Invariant to rotations, shifts and one scale of either side's features and to the order of rows.

    Args:
        x, y: features of the same N rows, N of at least 4, shapes [N, D] and [N, E].
        batch: each HSIC is a mean over consecutive batches of so many rows (Nguyen, Raghu & Kornblith 2021), for which
            rows have to be in random order; a last batch of fewer than 4 is left out. None: one batch of all.

    Raises:
        ValueError: other shapes, fewer than 4 rows, a number that is not finite, or features without any structure to
            compare, such as constant ones.
    """
    first, second = np.asarray(x, np.float64), np.asarray(y, np.float64)
    if first.ndim != 2 or second.ndim != 2 or len(first) != len(second):
        raise ValueError(
            f"features must be [N, D] and [N, E] of the same rows, got {first.shape}, {second.shape}"
        )
    size = len(first) if batch is None else batch
    if min(size, len(first)) < LEAST_ROWS:
        raise ValueError(f"unbiased CKA needs {LEAST_ROWS} rows, got {min(size, len(first))}")
    if not (np.isfinite(first).all() and np.isfinite(second).all()):
        raise ValueError("the features are not all finite")
    starts = range(0, len(first) - LEAST_ROWS + 1, size)
    pairs = [(first[start : start + size], second[start : start + size]) for start in starts]
    both, own, other = (
        float(np.mean([hsic(*(pair[place] for place in places)) for pair in pairs]))
        for places in ((0, 1), (0, 0), (1, 1))
    )
    if is_constant(first, own) or is_constant(second, other):
        raise ValueError("the features are constant, or all rows have the same distance")
    return both / float(np.sqrt(own) * np.sqrt(other))


def is_constant(x: np.ndarray, own: float) -> bool:
    """Return whether the features vary by no more than rounding."""
    spread = np.square(x - x.mean(0)).sum(1).mean()
    return bool(spread <= 1e-24 * np.square(x).sum(1).mean() or own <= 1e-12 * spread**2)


def hsic(x: np.ndarray, y: np.ndarray) -> float:
    """Return the unbiased estimate of the Hilbert-Schmidt independence criterion with linear kernels (Song et al. 2012).

    With K = x x^T and L = y y^T, their diagonals set to 0, and n rows:
    [tr(K L) + 1'K1 1'L1 / ((n-1)(n-2)) - 2 1'K L1 / (n-2)] / (n(n-3)).

    If it is cheaper, tr(K L) is computed as |x^T y|_F^2 minus the diagonals' part, without K and L.
    """
    # Centring changes nothing in exact arithmetic; a large common mean would cost digits.
    x, y = x - x.mean(0), y - y.mean(0)
    n, width_x, width_y = len(x), x.shape[1], y.shape[1]
    diagonal_x, diagonal_y = np.square(x).sum(1), np.square(y).sum(1)
    narrow = width_x * width_y < n * (width_x + width_y)
    whole = np.square(x.T @ y).sum() if narrow else ((x @ x.T) * (y @ y.T)).sum()
    trace = whole - diagonal_x @ diagonal_y
    rows_x, rows_y = x @ x.sum(0) - diagonal_x, y @ y.sum(0) - diagonal_y
    totals = rows_x.sum() * rows_y.sum() / ((n - 1) * (n - 2))
    return float((trace + totals - 2 * (rows_x @ rows_y) / (n - 2)) / (n * (n - 3)))
