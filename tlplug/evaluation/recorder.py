"""Record evidence of a model before and after its adaptation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from tlplug.data.domain import Domain
from tlplug.evaluation.evidence import AFTER, BEFORE, PROBABILITIES, EvidenceBuffer
from tlplug.evaluation.layer_features import (
    BATCH_SIZE,
    evaluation_mode,
    features_key,
    group_by_length,
    layer_features,
    load_or_compute,
    map_batches,
    prefix_covers_blocks,
)
from tlplug.evaluation.probabilities import (
    likelihoods,
    source_probabilities,
    why_no_classifier,
    why_no_likelihood,
)
from tlplug.evaluation.probes import SOURCE, TASK, PlainTexts, RecordedRows, class_indices, select_rows
from tlplug.evaluation.weight_changes import WeightChangeRecorder
from tlplug.interfaces import RowsContext, Strategy, TaskHead, TransferMetric
from tlplug.interfaces.evidence_names import asks_weights
from tlplug.models.layers import new_blocks, newly_initialized
from tlplug.models.precision import to_device
from tlplug.models.predict import predict_rows
from tlplug.settings import EvidenceSettings

if TYPE_CHECKING:
    import numpy as np
    import torch
    from torch import nn

RECORDING_CONFIG = "recording_config"
"""The evidence that says with which fields the metrics that asked for evidence of their own did so."""
OF_TEST = (f"predictions/{BEFORE}", f"example_scores/{BEFORE}")
"""Evidence of the test rows, which a baseline without training provides, not the recorder."""
OF_SOURCE = tuple(
    f"{kind}/{stage}/{SOURCE}" for kind in ("features", "nll", "scores") for stage in (BEFORE, AFTER)
)
UNNAMED = "nothing says what the base model knew: transfer.source_domain=... names a preset, a data set or a file of it"
UNTRAINED = "the base model does not answer by itself: the head adds weights that have to be trained first"
UNASKED = "the base model's own answers are not known: no baseline that trains nothing was run"
UNSCORED = "the source rows have no targets that this head can score: their labels are others, or none"


@dataclass
class Recorder:
    """Records the evidence of one adaptation.

    `features/<stage>`, `nll/<stage>/source`, `scores/<stage>/source`, `predictions/<stage>/<rows>`, `classes` and
    `weights/<metric>`, as listed in docs/reference.md. Evidence that cannot be recorded is replaced by a reason; the run
    goes on.
    """

    context: RowsContext
    """The head, the base model, the validation rows, and the seed that draws some of them."""
    domains: Mapping[str, Domain]
    strategy: Strategy
    metrics: Mapping[str, TransferMetric]
    settings: EvidenceSettings
    precision: str
    batch_size: int
    """The batch size of training, which limits that of the recorder."""
    _device: torch.device | None = None

    def __post_init__(self) -> None:
        self.head, self.base = self.context.head, self.context.base
        self.probes, reasons = select_rows(self.context, self.domains, self.metrics, self.settings.max_rows)
        self.buffer = EvidenceBuffer(reasons)
        asking = {name: m for name, m in self.metrics.items() if asks_weights(type(m))}
        asking = asking if self.settings.weight_changes else {}
        self._weights = WeightChangeRecorder(self.strategy, asking, self.buffer)

    def before(self, model: nn.Module, device: torch.device) -> None:
        """Record the unadapted base model.

        Args:
            device: the device for recording, also after training.
        """
        self._device = device
        self._classes()
        self._own_classifier(device)
        if self.probes and SOURCE not in {probe.name for probe in self.probes}:
            self.buffer.reasons |= dict.fromkeys(OF_SOURCE, UNNAMED)
        if self.strategy.load_options(self.head).random_weights:
            self._no_before("the strategy starts from random weights, so there is no base model to look at")
        else:
            self._look(model, BEFORE, device)
        self._weights.find_layers(model, self.head)

    def before_loading(self, model: nn.Module) -> None:
        """Copy the weights of a finished run's base model, before the trained weights are loaded."""
        self._weights.start(model, adapted=False)

    def before_training(self, model: nn.Module) -> None:
        """Copy the weights of the adapted model before the first step."""
        self._weights.start(model)

    def after(self, model: nn.Module, head: TaskHead) -> None:
        """Record the trained model; `head` has the state with which it decodes."""
        assert self._device is not None, "it was not shown before"
        self.head = head
        self._look(model, AFTER, self._device)
        self._weights.record(model)

    def evidence(self) -> dict[str, Any]:
        """Return all evidence, the reasons for missing evidence, and the Config of metrics that affect the recording."""
        configs = {name: asdict(metric.config) for name, metric in self.metrics.items() if records(metric)}
        return {**self.buffer.evidence, "reasons": self.buffer.reasons, RECORDING_CONFIG: configs}

    def _classes(self) -> None:
        for probe in self.probes:
            classes = class_indices(probe.rows, self.head) if probe.reads is None else None
            if classes is not None:
                self.buffer.evidence[f"classes{probe.suffix}"] = classes
            else:
                self.buffer.reasons[f"classes{probe.suffix}"] = (
                    f"the {probe.name}'s rows have no single class each"
                )

    def _own_classifier(self, device: torch.device) -> None:
        """Record what the base model's own classifier predicts for the task's rows, where a metric requires it."""
        probe = next((probe for probe in self.probes if probe.name == TASK), None)
        if probe is None or not any(PROBABILITIES in metric.requires for metric in self.metrics.values()):
            return
        if reason := why_no_classifier(self.base):
            self.buffer.reasons[PROBABILITIES] = reason
            return
        with self.buffer.capture_errors(PROBABILITIES):
            parts, back = group_by_length(self.head, probe.features(self.head, self.base), self._rows)
            batches = [self.head.collate(part, self.base) for part in parts]
            self.buffer.evidence[PROBABILITIES] = source_probabilities(self.head, self.base, batches, device)[
                back
            ]

    def _no_before(self, reason: str) -> None:
        for probe in self.probes:
            for kind in ("features", "nll", "scores", "predictions"):
                self.buffer.reasons[f"{kind}/{BEFORE}{probe.suffix}"] = reason

    def _look(self, model: nn.Module, stage: str, device: torch.device) -> None:
        answers = stage == AFTER or not newly_initialized(model)
        if stage == BEFORE:
            self.buffer.reasons |= dict.fromkeys(OF_TEST, UNASKED if answers else UNTRAINED)
        names = [f"features/{stage}{probe.suffix}" for probe in self.probes]
        with self.buffer.capture_errors(*names), evaluation_mode(model, device, self.precision):
            for probe in self.probes:
                self._features(probe, model, stage, device)
                if probe.name == SOURCE:
                    self._likelihood(probe, model, stage, device)
                    if not probe.scored:
                        self.buffer.reasons[f"scores/{stage}/{SOURCE}"] = UNSCORED
                if probe.predicted or probe.scored:
                    self._predictions(probe, model, stage, device, answers)

    def _features(self, probe: RecordedRows, model: nn.Module, stage: str, device: torch.device) -> None:
        name = f"features/{stage}{probe.suffix}"
        with self.buffer.capture_errors(name):
            features = probe.features(self.head, self.base)
            reader = probe.reader(self.head)

            def of_batch(some: list[dict[str, Any]]) -> np.ndarray:
                batch = to_device(reader.collate(some, self.base), device)
                return layer_features(model, reader, self.base, [batch])

            def compute() -> np.ndarray:
                return map_batches(reader, features, self._rows, of_batch, axis=1)

            before = f"features/{BEFORE}{probe.suffix}"
            prefix = self.strategy.frozen_prefix(model) if stage == AFTER else None
            if (
                before in self.buffer.evidence
                and prefix is not None
                and prefix_covers_blocks(model, prefix, self.base)
            ):
                self.buffer.evidence[name] = self.buffer.evidence[before]
                return
            bare = stage == BEFORE and not new_blocks(model)
            self.buffer.evidence[name] = (
                load_or_compute(self._key(features, device), compute) if bare else compute()
            )

    def _key(self, features: Sequence[dict[str, Any]], device: torch.device) -> str:
        options = self.strategy.load_options(self.head)
        return features_key(self.base, options, features, (device.type, self.precision, self._rows))

    def _likelihood(self, probe: RecordedRows, model: nn.Module, stage: str, device: torch.device) -> None:
        name = f"nll/{stage}/{probe.name}"
        if reason := why_no_likelihood(model, self.base):
            self.buffer.reasons[name] = reason
            return
        assert probe.text is not None
        with self.buffer.capture_errors(name):
            texts = PlainTexts(probe.text)

            def of_batch(some: list[dict[str, Any]]) -> np.ndarray:
                return likelihoods(model, texts, [to_device(texts.collate(some, self.base), device)])

            # One at a time: the logits of a text are as wide as the vocabulary.
            features = texts.encode(probe.rows, self.base, False)
            self.buffer.evidence[name] = map_batches(texts, features, 1, of_batch)

    def _predictions(
        self, probe: RecordedRows, model: nn.Module, stage: str, device: torch.device, answers: bool
    ) -> None:
        name = f"predictions/{stage}{probe.suffix}"
        scores = f"scores/{stage}{probe.suffix}"
        if not answers:
            self.buffer.reasons |= {name: UNTRAINED, scores: UNTRAINED}
            return
        with self.buffer.capture_errors(name, scores):
            rows = probe.rows[: self.head.max_validation_rows] if probe.scored else probe.rows
            predictions = predict_rows(rows, self.head, model, self.base, self._rows, device)
            if probe.predicted:
                self.buffer.evidence[name] = predictions
            if probe.scored:
                self.buffer.evidence[scores] = self.head.scores(predictions, rows)

    @property
    def _rows(self) -> int:
        """The number of rows in a batch: without gradients several times as many fit as in training."""
        return min(BATCH_SIZE, 4 * self.batch_size)


def records(metric: TransferMetric) -> bool:
    """Return whether the recorded evidence depends on the metric's Config."""
    return type(metric).extra_rows is not TransferMetric.extra_rows or asks_weights(type(metric))
