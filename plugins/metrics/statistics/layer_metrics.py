"""Compute a metric of recorded features for each layer."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import ClassVar

import numpy as np

from tlplug import Evidence, Fact, NotMeasured, TransferMetric

Value = float | NotMeasured


class LabelledFeatures(TransferMetric):
    """A number for how well the features of each layer suit the classes.

    `before`: of the last layer of the base model; `before/mean`: the mean over all layers; `before/layer/<k>`: of each,
    0 for what goes into the first block. `after` and so on: the same after the adaptation, where that is recorded.
    """

    requires = frozenset({"features/before", "classes"})
    higher_is_better = True
    section = "ranking"

    def of_layer(self, features: np.ndarray, labels: np.ndarray) -> float:
        """Return the value of features [p, D] and labels [p]."""
        raise NotImplementedError

    def measure(self, evidence: Evidence) -> dict[str, Value]:
        values: dict[str, Value] = {}
        for when in ("before", "after"):
            if (layers := evidence.get(f"features/{when}")) is not None:
                results = layer_values(
                    self.of_layer, ((features, evidence["classes"]) for features in layers)
                )
                values |= {when: results[-1], f"{when}/mean": mean(results), **layer_keys(when, results)}
        return require_any(values)

    def describe(self, values: Mapping[str, Value]) -> list[Fact]:
        layers = by_layer(values, "before/layer/{}")
        titles = [("before/mean", "mean over layers"), ("after", "last layer, after the run")]
        if not layers:
            titles.insert(1, ("before", "last layer"))
        facts = [Fact.of(values, key, name, form="decimal") for key, name in titles if key in values]
        return [*facts, Fact("by layer", form="decimal", layers=layers)] if layers else facts


class DomainDistance(TransferMetric):
    """How far the features of other rows are from those of the task's rows.

    `source`: rows of transfer.source_domain, last layer of the base model; `source/layer/<k>`: each layer, 0 for what goes
    into the first block; `source/after`: last layer after the adaptation, where that is recorded. `target` and so on: the
    same for the rows of data.target_domain. What was not recorded is left out.
    """

    requires = frozenset({"features/before"})
    section = "distances"
    title: ClassVar[str]
    """The distance's name in the report."""
    meaning: ClassVar[str]
    """The meaning of its size in the report."""

    def of_layer(self, task: np.ndarray, other: np.ndarray) -> float:
        """Return the distance of features [p, D] and [q, D]."""
        raise NotImplementedError

    def measure(self, evidence: Evidence) -> dict[str, Value]:
        values: dict[str, Value] = {}
        for domain in ("source", "target"):
            if (layers := evidence.get(f"features/before/{domain}")) is None:
                continue
            results = layer_values(self.of_layer, zip(evidence["features/before"], layers, strict=True))
            values |= {domain: results[-1], **layer_keys(domain, results)}
            after = [evidence.get(name) for name in ("features/after", f"features/after/{domain}")]
            if all(layers is not None for layers in after):
                values[f"{domain}/after"] = layer_values(self.of_layer, [(after[0][-1], after[1][-1])])[0]
        if not values:
            raise NotMeasured(nothing_to_compare(evidence.get("reasons") or {}))
        return require_any(values)

    def describe(self, values: Mapping[str, Value]) -> list[Fact]:
        keys = [key for key in ("source", "source/after", "target", "target/after") if key in values]
        return [
            Fact.of(values, key, f"{self.title}, {key.replace('/', ', ')}", self.meaning, "decimal")
            for key in keys
        ]


def layer_values(value: Callable[..., float], layers: Iterable[tuple[np.ndarray, np.ndarray]]) -> list[Value]:
    """Return the value of each layer, or the reason why it has none."""
    results: list[Value] = []
    for arrays in layers:
        try:
            # A run that diverged must not cost the values of the layers that are fine.
            if not all(np.isfinite(array).all() for array in arrays):
                raise NotMeasured("the features are not finite")
            results.append(value(*arrays))
        except NotMeasured as reason:
            results.append(reason)
    return results


def mean(values: list[Value]) -> Value:
    for layer, value in enumerate(values):
        if isinstance(value, NotMeasured):
            return NotMeasured(f"layer {layer} has no value: {value}")
    return float(np.mean(values))


def layer_keys(prefix: str, values: list[Value]) -> dict[str, Value]:
    return {f"{prefix}/layer/{layer}": value for layer, value in enumerate(values)}


def require_any(values: dict[str, Value]) -> dict[str, Value]:
    """Return the values; raise the first reason if there is no value at all."""
    if all(isinstance(value, NotMeasured) for value in values.values()):
        raise next(iter(values.values()))
    return values


def nothing_to_compare(reasons: dict[str, str]) -> str:
    messages = [
        reasons[name] for name in ("features/before/source", "features/before/target") if name in reasons
    ]
    ask = "there are no other rows to compare with; set transfer.source_domain=... or data.target_domain=..."
    return "; ".join(dict.fromkeys(messages)) or ask


def by_layer(values: Mapping[str, float | NotMeasured], pattern: str) -> dict[int, float]:
    """Return the measured values whose keys are `pattern` with the layer's number in it, by layer."""
    before, after = pattern.split("{}")
    layers: dict[int, float] = {}
    for key, value in values.items():
        layer = key[len(before) : len(key) - len(after)]
        matches = key.startswith(before) and key.endswith(after) and layer.isdigit()
        if matches and not isinstance(value, NotMeasured):
            layers[int(layer)] = value
    return layers
