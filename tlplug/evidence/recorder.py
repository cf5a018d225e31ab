"""Looks at a model before it is adapted and after, and keeps what it saw."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from tlplug.contracts import (
    BaseInfo,
    Batch,
    DataSettings,
    EvidenceSettings,
    Rows,
    Strategy,
    TaskHead,
    TransferMetric,
)
from tlplug.data.domain import Domain
from tlplug.evidence.classifier import no_classifier, source_probabilities
from tlplug.evidence.collect import AFTER, BASELINE, BEFORE
from tlplug.evidence.features import BATCH_SIZE, layer_features
from tlplug.evidence.likelihood import likelihoods, no_likelihood
from tlplug.evidence.probes import SOURCE, TASK, Probe, classes_of, plain, probes_of
from tlplug.evidence.weights import Start, matrices_of
from tlplug.layers import new_parameters
from tlplug.precision import autocast

if TYPE_CHECKING:
    import torch
    from torch import nn

OF_TEST = (f"predictions/{BEFORE}", f"example_scores/{BEFORE}")
"""Of the test rows, which a baseline that trains nothing shows, not the recorder."""
RECORDED_FOR = "recorded_for"
"""The evidence that says with which fields the metrics that asked for evidence of their own did so."""
PROBABILITIES = "source_probabilities"
OF_SOURCE = tuple(
    f"{kind}/{stage}/{SOURCE}" for kind in ("features", "nll", "scores") for stage in (BEFORE, AFTER)
)
UNNAMED = (
    "nothing says what the base model knew: transfer.source=... names a preset, a data set or a file of it"
)
UNTRAINED = "the base model does not answer by itself: the head adds weights that have to be trained first"
FAILED = "it could not be recorded"
"""How a reason begins that another try may do away with."""
UNMOVED = "no matrix of the base model moved whose change could be told"
UNASKED = "the base model's own answers are not known: no baseline that trains nothing was run"
UNSCORED = "the source rows have no targets that this head can score: their labels are others, or none"

log = logging.getLogger(__name__)


@dataclass
class Recorder:
    """What one adaptation did to one model.

    `features/<stage>`, `nll/<stage>/source`, `scores/<stage>/source`, `predictions/<stage>/<probe>`, `classes` and
    `weights/<metric>`, as docs/reference.md lists them. What cannot be recorded costs a reason, never the run.
    """

    head: TaskHead
    base: BaseInfo
    strategy: Strategy
    metrics: Mapping[str, TransferMetric]
    probes: Sequence[Probe]
    settings: EvidenceSettings
    precision: str
    batch_size: int
    """Of training; more rows than a few times that many are not looked at together."""
    reasons: dict[str, str] = field(default_factory=dict)
    """Evidence that there is not -> why."""
    evidence: dict[str, Any] = field(default_factory=dict)
    _device: torch.device | None = None
    _layers: dict[str, int | None] = field(default_factory=dict)
    _start: Start | None = None

    @classmethod
    def of(
        cls,
        head: TaskHead,
        base: BaseInfo,
        strategy: Strategy,
        metrics: Mapping[str, TransferMetric],
        validation: Rows,
        domains: Mapping[str, Domain],
        settings: EvidenceSettings,
        data: DataSettings,
        precision: str,
    ) -> Recorder:
        """With the rows that the model is shown: of the validation split, of other domains, and the metrics' own."""
        probes, reasons = probes_of(head, base, validation, domains, metrics, settings.rows, data.seed)
        return cls(head, base, strategy, metrics, probes, settings, precision, data.batch_size, reasons)

    def before(self, model: nn.Module, device: torch.device) -> None:
        """The bare base model, before anything is wrapped.

        Args:
            device: where the model is looked at, after its training too.
        """
        self._device = device
        self._classes()
        self._own_classifier(device)
        if self.probes and SOURCE not in {probe.name for probe in self.probes}:
            self.reasons |= dict.fromkeys(OF_SOURCE, UNNAMED)
        if self.strategy.load_options(self.head).random_weights:
            self._no_before("the strategy starts from random weights, so there is no base model to look at")
        else:
            self._look(model, BEFORE, device)
        if asked := self._asked_of_weights():
            with self._reported(*(f"weights/{name}" for name in asked)):
                self._layers = matrices_of(model, self.head)

    def bare(self, model: nn.Module) -> None:
        """The bare base model of a finished run, over which what was trained is loaded next."""
        if self._asked_of_weights():
            self._start = Start.bare(self._layers, model)

    def begins(self, model: nn.Module) -> None:
        """The adapted model, before the first step."""
        if asked := self._asked_of_weights():
            with self._reported(*(f"weights/{name}" for name in asked)):
                self._start = Start.of(self._layers, model, self.strategy)

    def after(self, model: nn.Module, head: TaskHead) -> None:
        """The adapted model, trained; `head` decodes as it learnt to."""
        assert self._device is not None, "it was not shown before"
        self.head = head
        self._look(model, AFTER, self._device)
        if self._start is not None:
            with self._reported(*(f"weights/{name}" for name in self._asked_of_weights())):
                self._weights(model, self._start)

    def found(self) -> dict[str, Any]:
        """All evidence, with the reasons for what is not there, and the fields of the metrics that asked for some of it."""
        asked = {name: asdict(metric.config) for name, metric in self.metrics.items() if records(metric)}
        return {**self.evidence, "reasons": self.reasons, RECORDED_FOR: asked}

    def _classes(self) -> None:
        for probe in self.probes:
            classes = classes_of(probe.rows, self.head) if probe.reads is None else None
            if classes is not None:
                self.evidence[f"classes{probe.suffix}"] = classes
            else:
                self.reasons[f"classes{probe.suffix}"] = f"the {probe.name}'s rows have no single class each"

    def _own_classifier(self, device: torch.device) -> None:
        """What a classifier that came with the base model says of the task's rows, where a metric asks for it."""
        probe = next((probe for probe in self.probes if probe.name == TASK), None)
        if probe is None or not any(PROBABILITIES in metric.needs for metric in self.metrics.values()):
            return
        if reason := no_classifier(self.base):
            self.reasons[PROBABILITIES] = reason
            return
        with self._reported(PROBABILITIES):
            parts, back = by_length(probe.features(self.head, self.base), self._rows)
            batches = [self._collate(part) for part in parts]
            self.evidence[PROBABILITIES] = source_probabilities(self.base, batches, device)[back]

    def _no_before(self, reason: str) -> None:
        for probe in self.probes:
            for kind in ("features", "nll", "scores", "predictions"):
                self.reasons[f"{kind}/{BEFORE}{probe.suffix}"] = reason

    def _look(self, model: nn.Module, stage: str, device: torch.device) -> None:
        answers = stage == AFTER or not new_parameters(model)
        if stage == BEFORE:
            self.reasons |= dict.fromkeys(OF_TEST, UNASKED if answers else UNTRAINED)
        names = [f"features/{stage}{probe.suffix}" for probe in self.probes]
        with self._reported(*names), looking(model, device, self.precision):
            for probe in self.probes:
                self._features(probe, model, stage, device)
                if probe.name == SOURCE:
                    self._likelihood(probe, model, stage, device)
                    if not probe.scored:
                        self.reasons[f"scores/{stage}/{SOURCE}"] = UNSCORED
                if probe.predicted or probe.scored:
                    self._predictions(probe, model, stage, device, answers)

    def _features(self, probe: Probe, model: nn.Module, stage: str, device: torch.device) -> None:
        name = f"features/{stage}{probe.suffix}"
        with self._reported(name):
            features = probe.features(self.head, self.base)
            collate = self._collate_plain if probe.reads is not None else self._collate
            self.evidence[name] = in_batches(
                features,
                self._rows,
                lambda some: layer_features(model, self.base, [on(collate(some), device)]),
                axis=1,
            )

    def _likelihood(self, probe: Probe, model: nn.Module, stage: str, device: torch.device) -> None:
        name = f"nll/{stage}/{probe.name}"
        if reason := no_likelihood(model, self.base):
            self.reasons[name] = reason
            return
        assert probe.text is not None
        with self._reported(name):
            self.evidence[name] = in_batches(
                plain(probe.rows, probe.text, self.base),
                1,  # the logits of a text are as wide as the vocabulary
                lambda some: likelihoods(model, [on(self._collate_plain(some), device)]),
            )

    def _predictions(
        self, probe: Probe, model: nn.Module, stage: str, device: torch.device, answers: bool
    ) -> None:
        name = f"predictions/{stage}{probe.suffix}"
        scores = f"scores/{stage}{probe.suffix}"
        if not answers:
            self.reasons |= {name: UNTRAINED, scores: UNTRAINED}
            return
        with self._reported(name, scores):
            rows = probe.rows[: self.head.eval_examples] if probe.scored else probe.rows
            predictions = self._predicted(rows, model, device)
            if probe.predicted:
                self.evidence[name] = predictions
            if probe.scored:
                self.evidence[scores] = self.head.scores(predictions, rows)

    def _predicted(self, rows: Sequence[Any], model: nn.Module, device: torch.device) -> list[dict[str, Any]]:
        from tlplug.module import in_order

        features = sorted(self.head.encode(rows, self.base, False), key=longest_first)
        outputs: list[dict[str, Any]] = []
        for start in range(0, len(features), self._rows):
            batch = on(self._collate(features[start : start + self._rows]), device)
            outputs += self.head.predict(model, batch)
        return self.head.decode(*in_order(outputs, rows), self.base)

    @property
    def _rows(self) -> int:
        """At a time: without gradients several times as many fit as in training."""
        return min(BATCH_SIZE, 4 * self.batch_size)

    def _collate(self, features: Sequence[dict[str, Any]]) -> Batch:
        return self.head.collate(features, self.base)

    def _collate_plain(self, features: Sequence[dict[str, Any]]) -> Batch:
        inputs = [{name: value for name, value in each.items() if name != "id"} for each in features]
        # On the right, or the positions of a text would change with what it is padded to.
        return dict(self.base.tokenizer.pad(inputs, padding_side="right", return_tensors="pt"))

    def _asked_of_weights(self) -> dict[str, TransferMetric]:
        if not self.settings.weights:
            return {}
        return {
            name: metric
            for name, metric in self.metrics.items()
            if type(metric).of_weight is not TransferMetric.of_weight
        }

    def _weights(self, model: nn.Module, start: Start) -> None:
        asked = self._asked_of_weights()
        found: dict[str, dict[str, Any]] = {name: {} for name in asked}
        for change in start.changes(model, self.strategy):
            for name, metric in asked.items():
                with self._reported(f"weights/{name}"):
                    values = {key: float(value) for key, value in metric.of_weight(change).items()}
                    found[name][change.name] = {"layer": change.layer, **values}
        for name, changes in found.items():
            if f"weights/{name}" in self.reasons:
                continue
            if changes:
                self.evidence[f"weights/{name}"] = changes
            else:
                self.reasons[f"weights/{name}"] = UNMOVED

    @contextmanager
    def _reported(self, *names: str) -> Iterator[None]:
        """A failure is a reason."""
        try:
            yield
        except Exception as error:
            # Evidence stands beside hours of training; a fault of it must not cost the run.
            log.exception("%s could not be recorded", ", ".join(names))
            self.reasons |= dict.fromkeys(names, f"{FAILED}: {type(error).__name__}: {error}")


def records(metric: TransferMetric) -> bool:
    """Whether what is recorded depends on the metric's own fields."""
    own = type(metric)
    return own.probes is not TransferMetric.probes or own.of_weight is not TransferMetric.of_weight


def of_rows(name: str) -> bool:
    """Whether evidence is of the rows that the model was looked at with, not of the test or of the weights."""
    kind, _, rest = name.partition("/")
    if kind == "predictions":
        return "/" in rest and not rest.startswith(f"{BASELINE}/")
    return kind in ("features", "nll", "scores", "classes", PROBABILITIES)


def longest_first(feature: Mapping[str, Any]) -> int:
    return -len(feature["input_ids"])


def in_batches(
    features: Sequence[dict[str, Any]],
    size: int,
    compute: Callable[[list[dict[str, Any]]], np.ndarray],
    axis: int = 0,
) -> np.ndarray:
    """`compute` on batches of about one length each, put together in the order of the features along `axis`."""
    parts, back = by_length(features, size)
    return np.take(np.concatenate([compute(part) for part in parts], axis=axis), back, axis=axis)


def by_length(features: Sequence[dict[str, Any]], size: int) -> tuple[list[list[dict[str, Any]]], np.ndarray]:
    """Batches of about one length each, and what puts their rows back into the order of the features."""
    order = sorted(range(len(features)), key=lambda index: longest_first(features[index]))
    parts = [
        [features[index] for index in order[start : start + size]] for start in range(0, len(order), size)
    ]
    return parts, np.argsort(order)


def on(batch: Batch, device: torch.device) -> Batch:
    return {name: value.to(device) if hasattr(value, "to") else value for name, value in batch.items()}


@contextmanager
def looking(model: nn.Module, device: torch.device, precision: str) -> Iterator[None]:
    """While it lasts the model is in eval mode on the device; afterwards all of it, and chance, is as it was.

    Not inference mode: what modules keep of a forward pass, such as tables of positions, is trained with later.
    """
    import torch

    modes = [(module, module.training) for module in model.modules()]
    home = next(model.parameters()).device
    devices = [device] if device.type == "cuda" else []
    model.eval()
    try:
        # transformers' own `to` refuses to move quantized models.
        torch.nn.Module.to(model, device)
        with torch.no_grad(), torch.random.fork_rng(devices), autocast(precision, device):
            yield
    finally:
        torch.nn.Module.to(model, home)
        for module, training in modes:
            module.training = training
