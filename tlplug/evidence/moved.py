"""What metrics ask of each matrix that an adaptation moved."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tlplug.contracts import Strategy, TaskHead, TransferMetric
from tlplug.evidence.kept import Kept
from tlplug.evidence.weights import Start, matrices_of

if TYPE_CHECKING:
    from torch import nn

UNMOVED = "no matrix of the base model moved whose change could be told"


@dataclass
class Moved:
    """`weights/<metric>`, for each of the metrics that ask; where none does, nothing is copied."""

    strategy: Strategy
    metrics: Mapping[str, TransferMetric]
    kept: Kept
    _layers: dict[str, int | None] = field(default_factory=dict)
    _start: Start | None = None

    @property
    def names(self) -> list[str]:
        return [f"weights/{name}" for name in self.metrics]

    def before(self, bare: nn.Module, head: TaskHead) -> None:
        """The bare base model, which knows the layers of its matrices."""
        if self.metrics:
            with self.kept.reported(*self.names):
                self._layers = matrices_of(bare, head)

    def begins(self, model: nn.Module) -> None:
        """The adapted model, before the first step."""
        if self.metrics:
            with self.kept.reported(*self.names):
                self._start = Start.of(self._layers, model, self.strategy)

    def bare(self, model: nn.Module) -> None:
        """The bare base model of a finished run, over which what was trained is loaded next."""
        if self.metrics:
            with self.kept.reported(*self.names):
                self._start = Start.bare(self._layers, model)

    def after(self, model: nn.Module) -> None:
        """The adapted model, trained."""
        if self._start is not None:
            with self.kept.reported(*self.names):
                self._keep(self._told(model, self._start))

    def _told(self, model: nn.Module, start: Start) -> dict[str, dict[str, Any]]:
        """Of each metric, by the matrices' names; one metric's fault is none of the others'."""
        found: dict[str, dict[str, Any]] = {name: {} for name in self.metrics}
        for change in start.changes(model, self.strategy):
            for name, metric in self.metrics.items():
                with self.kept.reported(f"weights/{name}"):
                    values = {key: float(value) for key, value in metric.of_weight(change).items()}
                    found[name][change.name] = {"layer": change.layer, **values}
        return found

    def _keep(self, found: Mapping[str, Mapping[str, Any]]) -> None:
        for name, changes in found.items():
            if not changes:
                self.kept.reasons.setdefault(f"weights/{name}", UNMOVED)
            elif f"weights/{name}" not in self.kept.reasons:
                self.kept.evidence[f"weights/{name}"] = changes


def asks_of_weights(metric: TransferMetric) -> bool:
    return type(metric).of_weight is not TransferMetric.of_weight
