"""Make synthetic evidence for the checks of metrics."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np

from tlplug.evaluation import evidence
from tlplug.interfaces import NotMeasured, Outcome, RowsContext, TaskHead, TransferMetric, WeightChange
from tlplug.testing.check import CheckFailure

LABELS = ("negative", "positive")
LAYERS, WIDTH = 2, 6
ROWS, BASELINES = 24, {"trivial": 0.5, "scratch": 0.6, "linear_probe": 0.7}
COST = {
    "trainable_parameters": 1000.0,
    "total_parameters": 50000.0,
    "seconds": 12.5,
    "peak_memory_mb": 800.0,
    "tokens_per_second": 4000.0,
}


class Labelled(TaskHead):
    """The head of the run that the evidence belongs to."""

    columns = {"text": "a text", "label": "its class"}
    targets = ("label",)
    primary_score = "accuracy"


def synthetic_evidence() -> dict[str, Any]:
    """Return evidence of a run with an accuracy of 0.8 on 24 rows, and of its baselines."""
    truth = ["positive" if row % 2 else "negative" for row in range(ROWS)]
    others = {name: outcome(truth, accuracy, seed) for seed, (name, accuracy) in enumerate(BASELINES.items())}
    rows = [{"id": row, "label": label} for row, label in enumerate(truth)]
    head = Labelled().with_state({"labels": LABELS})
    return {
        **evidence.collect(outcome(truth, 0.8, 99), others, head, rows),
        **synthetic_features(),
        "reasons": {},
    }


def outcome(truth: Sequence[str], accuracy: float, seed: int) -> Outcome:
    """Return the outcome of a classifier whose predicted class has a probability of 0.8."""
    right = np.random.default_rng(seed).random(len(truth)) < accuracy
    predictions = []
    for row, (label, correct) in enumerate(zip(truth, right, strict=True)):
        answer = LABELS[LABELS.index(label) ^ (not correct)]
        probabilities = {name: 0.8 if name == answer else 0.2 for name in LABELS}
        predictions.append({"id": row, "prediction": answer, "probabilities": probabilities})
    curve = [[16.0, accuracy - 0.2], [32.0, accuracy - 0.1], [48.0, accuracy]]
    scores = right.astype(float)
    return Outcome(predictions, {"accuracy": scores.mean()}, scores.tolist(), COST, curve=curve)


def synthetic_features() -> dict[str, Any]:
    """Return features of two classes and other domains before and after, likelihoods and source probabilities."""
    draw = np.random.default_rng(0)
    classes = np.arange(ROWS) % 2
    recorded: dict[str, Any] = {"classes": classes, "classes/source": classes}
    for shift, domain in enumerate(("", "/source", "/target")):
        before = draw.normal(size=(LAYERS + 1, ROWS, WIDTH)) + shift + classes[:, None]
        recorded[f"features/before{domain}"] = before.astype(np.float32)
        recorded[f"features/after{domain}"] = (before + 0.1 * draw.normal(size=before.shape)).astype(
            np.float32
        )
    tokens = draw.integers(5, 20, ROWS).astype(float)
    for stage, nats in (("before", 3.0), ("after", 3.2)):
        recorded[f"nll/{stage}/source"] = np.stack([nats * tokens + draw.normal(size=ROWS), tokens], axis=1)
        recorded[f"scores/{stage}/source"] = {"accuracy": 0.9 if stage == "before" else 0.8}
    recorded["source_probabilities"] = draw.dirichlet([1.0, 1.0, 1.0], ROWS)
    return recorded


def extra_row_evidence(metric: TransferMetric) -> dict[str, Any]:
    """Return evidence of the metric's `extra_rows`."""
    if type(metric).extra_rows is TransferMetric.extra_rows:
        return {}
    from tlplug.testing import tiny_models as tiny

    words = ("he", "she")
    rows = [{"id": row, "text": f"{words[row % 2]} liked it {row} times"} for row in range(ROWS)]
    context = RowsContext(Labelled().with_state({"labels": LABELS}), tiny.base("encoder"), rows, 0)
    draw = np.random.default_rng(2)
    recorded: dict[str, Any] = {}
    for seed, (name, extra) in enumerate(metric.extra_rows(context).items()):
        for stage in ("before", "after"):
            shape = (LAYERS + 1, len(extra), WIDTH)
            recorded[f"features/{stage}/{name}"] = draw.normal(size=shape).astype(np.float32)
        answers = outcome([LABELS[row % 2] for row in range(len(extra))], 0.7, seed).predictions
        recorded[f"predictions/after/{name}"] = [
            {**answer, "id": row["id"]} for answer, row in zip(answers, extra, strict=True)
        ]
    return recorded


def changed_weight() -> WeightChange:
    """Return the change of a matrix of 12 by 8 by a product of rank 2."""
    draw = np.random.default_rng(1)
    before, left, right = (draw.normal(size=shape).astype(np.float32) for shape in ((12, 8), (12, 2), (2, 8)))
    return WeightChange("encoder.weight", 1, before, before + left @ right, (left, right))


class MetricCase:
    """A metric and the evidence for its checks: the kit's, updated by the author's."""

    kind_of_plugin = "metric"

    def __init__(
        self, plugin: type[TransferMetric], evidence: Mapping[str, Any] | None = None, **fields: Any
    ) -> None:
        self.plugin = plugin
        self.fields = fields
        self.updates = evidence or {}

    @cached_property
    def evidence(self) -> dict[str, Any]:
        return {
            **synthetic_evidence(),
            **self.weight_evidence(),
            **extra_row_evidence(self.metric()),
            **self.updates,
        }

    def weight_evidence(self) -> dict[str, Any]:
        """Return the metric's numbers of a changed matrix, under the required names."""
        change = changed_weight()
        recorded = {change.name: {"layer": change.layer, **self.metric().weight_change(change)}}
        return {name: recorded for name in self.plugin.requires if name.startswith("weights/")}

    def metric(self) -> TransferMetric:
        return self.plugin(self.plugin.Config(**self.fields))

    @cached_property
    def values(self) -> dict[str, float | NotMeasured]:
        try:
            return self.metric().measure(copy.deepcopy(self.evidence))
        except NotMeasured as reason:
            raise CheckFailure(
                f"measure raises NotMeasured for the kit's evidence: {reason}. Pass evidence={{...}}"
            ) from reason
