"""The contract of a task head."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Self

from tlplug.contracts.records import BaseInfo, Batch, LoadOptions, Row, Rows, StepOutput

if TYPE_CHECKING:
    from torch import nn
    from transformers import PreTrainedModel

Feature = dict[str, Any]
"""An encoded example: `id`, `input_ids`, `attention_mask` and what else the head needs."""
Output = dict[str, Any]
"""What the model says of one example: `id` and plain numbers or lists."""
Prediction = dict[str, Any]
"""The same for a person: `id`, `prediction` and what goes with it; JSON types only."""


class TaskHead:
    """What the model is asked to do. Entry-point group `tlplug.heads`."""

    contract: ClassVar[int]
    columns: ClassVar[Mapping[str, str]]
    """The columns it needs -> what each means."""
    output_modules: ClassVar[Sequence[str]]
    """Names of the head's modules: always trained and saved, never quantized."""
    primary: ClassVar[str]
    """The score that runs are compared by."""
    higher_is_better: ClassVar[bool] = True

    @dataclass
    class Config:
        """The head's own fields: the only home of their defaults."""

    def __init__(self, config: Any = None) -> None:
        self.config = self.Config() if config is None else config
        self.labels: tuple[str, ...] = ()

    def with_labels(self, labels: Sequence[str]) -> Self:
        """A copy of this head that answers with these labels."""
        bound = copy.copy(self)
        bound.labels = tuple(labels)
        return bound

    def label_space(self, rows: Rows) -> tuple[str, ...]:
        """The labels that stand in the training rows; none where the head has no labels."""
        return ()

    def problem(self, row: Row) -> str | None:
        """What is wrong with a row, with the column's name in quotes; None where nothing is."""
        return None

    def load_model(self, base: BaseInfo, options: LoadOptions) -> PreTrainedModel:
        """The base model with this head on it, through the transformers Auto class (`tlplug.load_pretrained`)."""
        raise NotImplementedError

    def encode(self, rows: Rows, base: BaseInfo) -> list[Feature]:
        """One feature (or more, for windows of a long row) for each row."""
        raise NotImplementedError

    def collate(self, features: Sequence[Feature], base: BaseInfo) -> Batch:
        """Pad to the longest and stack; `id` [B], `input_ids` and `attention_mask` [B, T]."""
        raise NotImplementedError

    def step(self, model: nn.Module, batch: Batch) -> StepOutput:
        """The loss, for training."""
        raise NotImplementedError

    def predict(self, model: nn.Module, batch: Batch) -> list[Output]:
        """One output for each row of the batch, for validation and test; may generate."""
        raise NotImplementedError

    def decode(self, outputs: Sequence[Output], rows: Rows) -> list[Prediction]:
        """Outputs of all rows, sorted by id, into one prediction for each row, in the order of `rows`."""
        raise NotImplementedError

    def scores(self, predictions: Sequence[Prediction], rows: Rows) -> dict[str, float]:
        """All scores, `primary` among them, over whole predictions."""
        raise NotImplementedError

    def example_scores(self, predictions: Sequence[Prediction], rows: Rows) -> list[float]:
        """One number for each row; their mean is the primary score. Paired intervals are made of these."""
        raise NotImplementedError

    def trivial(self, train: Rows, rows: Rows) -> list[Prediction]:
        """Predictions for `rows` that need no model: the majority, the lead sentence, ..."""
        raise NotImplementedError
