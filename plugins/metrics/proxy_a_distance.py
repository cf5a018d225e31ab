"""Measure how well a linear classifier separates two domains."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from tlplug import NotMeasured
from tlplug_plugins.metrics.statistics.array_checks import two_domains
from tlplug_plugins.metrics.statistics.layer_metrics import DomainDistance

FOLDS = 5


class ProxyADistance(DomainDistance):
    """How well a linear classifier separates other rows' features from the task's.

    2 (1 - 2 e), no less than 0, with e the error of a logistic regression between the two sets of features, each fold
    of five predicted by the others (Ben-David et al. 2007, "Analysis of representations for domain adaptation"; Glorot
    et al. 2011). From 0, not separable, to 2, separated without an error; no direction is better. An e above
    one half, by chance, counts as one half: the opposite classifier would have done better. e is the mean of the two
    domains' error rates, so that sets of unequal size do not look far apart. Each feature is standardized, so its scale
    does not count. Fewer than five rows on a side: not measured. Constant features: 0. `seed` draws the folds.
    """

    contract = 1
    title = "proxy_a_distance"
    meaning = "how well a linear classifier separates the two: 0 not at all, 2 perfectly"

    @dataclass
    class Config:
        seed: int = 0

    def of_layer(self, task: np.ndarray, other: np.ndarray) -> float:
        return proxy_a_distance(other, task, self.config.seed)


def proxy_a_distance(source: Any, target: Any, seed: int = 0) -> float:
    """Return the proxy A-distance of features [N, D] and [M, D]: see `ProxyADistance`.

    Raises:
        ValueError: wrong shapes, or values that are not finite.
        NotMeasured: a side has fewer rows than there are folds.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import balanced_accuracy_score
    from sklearn.model_selection import StratifiedKFold, cross_val_predict
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    source, target = two_domains(source, target)
    if (fewest := min(len(source), len(target))) < FOLDS:
        raise NotMeasured(f"each side needs at least {FOLDS} rows, and one has {fewest}")
    domains = np.repeat([0, 1], [len(source), len(target)])
    classifier = make_pipeline(StandardScaler(), LogisticRegression(class_weight="balanced", max_iter=1000))
    folds = StratifiedKFold(FOLDS, shuffle=True, random_state=seed)
    predicted = cross_val_predict(classifier, np.concatenate([source, target]), domains, cv=folds)
    error = 1.0 - balanced_accuracy_score(domains, predicted)
    return max(0.0, float(2.0 * (1.0 - 2.0 * error)))
