"""Measure how well a linear classifier predicts classes from features."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def probe_accuracy(
    features: np.ndarray, classes: Sequence[int] | np.ndarray, folds: int = 5, seed: int = 0
) -> float:
    """Return the accuracy of a logistic regression on standardised features, the mean over stratified folds.

    Rows of a class with fewer rows than folds are omitted, since they cannot be in each fold.

    Args:
        features: [p, D]. classes: [p].

    Raises:
        ValueError: fewer than two classes are left, or a feature is not finite.
    """
    from sklearn.linear_model import LogisticRegression  # type: ignore[import-untyped]
    from sklearn.model_selection import StratifiedKFold, cross_val_score  # type: ignore[import-untyped]
    from sklearn.pipeline import make_pipeline  # type: ignore[import-untyped]
    from sklearn.preprocessing import StandardScaler  # type: ignore[import-untyped]

    names, counts = np.unique(classes, return_counts=True)
    enough = np.isin(classes, names[counts >= folds])
    if (counts >= folds).sum() < 2:
        raise ValueError(
            f"a probe in {folds} folds needs two classes of {folds} rows at least; there are {counts.tolist()}"
        )
    rows, labels = np.asarray(features, np.float64)[enough], np.asarray(classes)[enough]
    if not np.isfinite(rows).all():
        raise ValueError("the features are not all finite")
    probe = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
    splits = StratifiedKFold(folds, shuffle=True, random_state=seed)
    return float(cross_val_score(probe, rows, labels, cv=splits, scoring="accuracy").mean())
