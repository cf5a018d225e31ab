"""Measure the CPU seconds of the metrics that rank base models, on one thread.

    python -m bench.metrics            each of them
    python -m bench.metrics logme knn  some

Writes bench/metrics/metrics.md if all are measured. The rows are synthetic: 5000 rows of 768 features in 10 classes, the
best of three. In a run the metric has 13 layers (a base model of 12 blocks) of 512 rows, before and after. Distances have
512 rows against 512, as in a run.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path
from time import process_time
from typing import Any

import numpy as np

from bench.results import listed, machine, markdown, table
from bench.settings import select

ROWS, WIDTH, CLASSES = 5000, 768, 10
PROBE, LAYERS = 512, 13
ABOUT = (
    f"CPU seconds of the metrics: {ROWS} rows of {WIDTH} features in {CLASSES} classes, the best of three; and the "
    f"metric in a run, {LAYERS} layers of {PROBE} rows, before and after."
)
LIMIT = 1.5
"""The most seconds of a ranking metric for all rows."""
RANKING = {
    "h_score": "HScore",
    "logme": "LogME",
    "leep": "LEEP",
    "nce": "NCE",
    "knn": "KNN",
    "transrate": "TransRate",
    "h_score shrinkage": "HScore",
}
DISTANCES = {"proxy_a_distance": "ProxyADistance", "mmd": "MMD", "coral_distance": "CoralDistance"}
OPTIONS = {"knn": (5,), "h_score shrinkage": (True,)}
"""The arguments of a formula after its arrays."""


def main(words: Sequence[str]) -> int:
    """Return the exit code: 1 if a ranking metric exceeds the limit."""
    from threadpoolctl import threadpool_limits

    metrics = RANKING | DISTANCES
    with threadpool_limits(1):
        seconds = {
            name: (formula_seconds(name), run_seconds(name)) for name in select(words, metrics, __doc__)
        }
    head = ["metric", f"{ROWS} rows (distances: {PROBE} against {PROBE}), s", "in a run, s"]
    cells = table(head, [[name, *(f"{second:.3f}" for second in pair)] for name, pair in seconds.items()])
    origin = f"`python -m bench.metrics`, on one thread, with {listed(machine())}."
    page = markdown([ABOUT, origin, cells])
    print(page)
    if not words:
        Path(__file__).with_name("metrics.md").write_text(page, encoding="utf-8")
    return int(any(formula > LIMIT for name, (formula, _) in seconds.items() if name in RANKING))


def formula_seconds(name: str) -> float:
    module = name.split()[0]
    formula = getattr(import_module(f"tlplug_plugins.metrics.{module}"), module)
    if name in DISTANCES:
        return best(formula, features(PROBE, 1), features(PROBE, 2))
    source = {"leep": probabilities, "nce": source_labels}.get(name, features)(ROWS)
    return best(formula, source, labels(ROWS), *OPTIONS.get(name, ()))


def run_seconds(name: str) -> float:
    kind = getattr(import_module(f"tlplug_plugins.metrics.{name.split()[0]}"), (RANKING | DISTANCES)[name])
    config = kind.Config(shrinkage="shrinkage" in name) if "h_score" in name else None
    layers = {
        f"features/{when}{probe}": np.stack([features(PROBE, first + layer) for layer in range(LAYERS)])
        for probe, seed in (("", 0), ("/source", 40))
        for when, first in (("before", seed), ("after", seed + 20))
    }
    evidence = layers | {"classes": labels(PROBE), "source_probabilities": probabilities(PROBE)}
    start = process_time()
    kind(config).measure(evidence)
    return process_time() - start


def best(formula: Callable[..., float], *arguments: Any) -> float:
    seconds = []
    for _ in range(3):
        start = process_time()
        formula(*arguments)
        seconds.append(process_time() - start)
    return min(seconds)


def labels(rows: int) -> np.ndarray:
    return np.arange(rows) % CLASSES


def features(rows: int, seed: int = 0) -> np.ndarray:
    """Return float32 features with a decaying spectrum as a language model's, and slightly different class means.

    The distribution is the same for every seed, since a classifier takes longest on domains that it cannot separate.
    """
    means = np.random.default_rng(0).standard_normal((CLASSES, WIDTH))
    spectrum = 1.0 / np.arange(1, WIDTH + 1) ** 0.5
    noise = np.random.default_rng(seed + 1).standard_normal((rows, WIDTH))
    return (1.0 + (noise + 0.3 * means[labels(rows)]) * spectrum).astype(np.float32)


def probabilities(rows: int) -> np.ndarray:
    return np.random.default_rng(0).dirichlet(np.full(1000, 0.1), rows)


def source_labels(rows: int) -> np.ndarray:
    return probabilities(rows).argmax(axis=1)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
