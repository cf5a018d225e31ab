"""How well classes can be read off features."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def probe_accuracy(
    features: np.ndarray, classes: Sequence[int] | np.ndarray, folds: int = 5, seed: int = 0
) -> float:
    """Accuracy of a logistic regression on standardised features, stratified cross-validation, mean over folds.

    Rows of a class with fewer rows than there are folds are left out: they could not stand in each fold.

    Args:
        features: [p, D]. classes: [p].

    Raises:
        ValueError: fewer than two classes are left, or a feature is not finite.
    """
    from sklearn.linear_model import LogisticRegression  # type: ignore[import-untyped]
    from sklearn.model_selection import StratifiedKFold, cross_val_score  # type: ignore[import-untyped]
    from sklearn.pipeline import make_pipeline  # type: ignore[import-untyped]
    from sklearn.preprocessing import StandardScaler  # type: ignore[import-untyped]

    known, counts = np.unique(classes, return_counts=True)
    kept = np.isin(classes, known[counts >= folds])
    if (counts >= folds).sum() < 2:
        raise ValueError(
            f"a probe in {folds} folds needs two classes of {folds} rows at least; there are {counts.tolist()}"
        )
    rows, labels = np.asarray(features, np.float64)[kept], np.asarray(classes)[kept]
    if not np.isfinite(rows).all():
        raise ValueError("the features are not all finite")
    probe = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
    splits = StratifiedKFold(folds, shuffle=True, random_state=seed)
    return float(cross_val_score(probe, rows, labels, cv=splits, scoring="accuracy").mean())
