"""The contract of a task head."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Self

from tlplug.interfaces.types import BaseInfo, Batch, LoadOptions, Row, Rows, StepOutput

if TYPE_CHECKING:
    from torch import nn
    from transformers import PreTrainedModel

Feature = dict[str, Any]
"""An encoded example in JSON types: `id`, `input_ids`, `attention_mask` and what else the head needs.

Where a row gives several features (windows of a long text), each has a `part` too, counted from 0.
"""
Output = dict[str, Any]
"""What the model says of one feature: its `id`, its `part` where it has one, and plain numbers or lists."""
Prediction = dict[str, Any]
"""The same of one row for a person: `id`, `prediction` and what goes with it; JSON types only."""


class TaskHead:
    """What the model is asked to do. Entry-point group `tlplug.heads`.

    A class attribute that depends on the head's Config may be a property.
    """

    contract: ClassVar[int]
    columns: Mapping[str, str]
    """The columns it needs -> what each means."""
    optional_columns: Mapping[str, str] = {}
    """Columns that it reads where the data has them -> what each means."""
    targets: Sequence[str] = ()
    """Those of its columns that hold what is to be predicted: rows to be predicted need not have them."""
    head_modules: Sequence[str]
    """Names of the head's modules, dotted where they lie deeper: always trained and saved, never quantized."""
    primary_score: str
    """The score that runs are compared by."""
    higher_is_better: bool = True
    display_scale: int = 100
    """What the primary score is multiplied by for a person: 100 for a share, 1 for a perplexity."""
    max_validation_rows: int | None = None
    """At most so many rows are predicted in each validation while training; None: all. The test has no limit."""
    single_forward_pass: bool = False
    """Whether `step` and `predict` call the model once for a batch, with inputs that are the same each time: what is
    frozen can be computed once then. Not so where a model generates, or where inputs are drawn at random."""
    tunes: bool = False
    """Whether `tune` is to be asked, which costs a pass over the validation rows."""

    @dataclass
    class Config:
        """The head's own fields: the only home of their defaults."""

    def __init__(self, config: Any = None) -> None:
        self.config = self.Config() if config is None else config
        self.labels: tuple[str, ...] = ()
        self.decoding: Mapping[str, float] = {}

    def with_labels(self, labels: Sequence[str]) -> Self:
        """A copy of this head that answers with these labels."""
        bound = copy.copy(self)
        bound.labels = tuple(labels)
        return bound

    def with_decoding(self, values: Mapping[str, float]) -> Self:
        """A copy of this head that decodes with these values, which `tune` found."""
        bound = copy.copy(self)
        bound.decoding = dict(values)
        return bound

    def label_space(self, rows: Rows) -> tuple[str, ...]:
        """The labels that stand in the training rows; none where the head has no labels."""
        return ()

    def bound_to(self, train: Rows) -> Self:
        """A copy of this head that knows the training rows: their labels, and what else the loss depends on."""
        return self.with_labels(self.label_space(train))

    def problem(self, row: Row) -> str | None:
        """What is wrong with a row, with the column's name in quotes; None where nothing is.

        A row that is to be predicted may be without the targets.
        """
        return None

    def target_problem(self, row: Row) -> str | None:
        """What is wrong with a row's targets; asked of rows that are trained on or scored, after `problem`."""
        return None

    def class_of(self, row: Row) -> str | None:
        """The one class of a row with targets, for metrics about classes; None where rows have none, or several."""
        return None

    def why_incompatible(self, base: BaseInfo) -> str | None:
        """Why the head cannot work on this base model, one sentence; None where it can. No weights are loaded yet."""
        return None

    def load_model(self, base: BaseInfo, options: LoadOptions) -> PreTrainedModel:
        """The base model with this head on it, through the transformers Auto class (`tlplug.load_pretrained`)."""
        raise NotImplementedError

    def encode(self, rows: Rows, base: BaseInfo, training: bool) -> list[Feature]:
        """One feature (or more, for windows of a long row) for each row, in the order of the rows.

        Args:
            training: for `step`, with the targets; else for `predict`, where a row may have no targets.
        """
        raise NotImplementedError

    def collate(self, features: Sequence[Feature], base: BaseInfo) -> Batch:
        """Pad to the longest and stack; `id` [B], `input_ids` and `attention_mask` [B, T]."""
        raise NotImplementedError

    def training_step(self, model: nn.Module, batch: Batch) -> StepOutput:
        """The loss, for training."""
        raise NotImplementedError

    def predict(self, model: nn.Module, batch: Batch) -> list[Output]:
        """One output for each feature of the batch, for validation and test; may generate."""
        raise NotImplementedError

    def tune(self, outputs: Sequence[Output], rows: Rows, base: BaseInfo) -> dict[str, float]:
        """Values that `decode` is better with, such as a threshold, found on the validation rows after training."""
        return {}

    def decode(self, outputs: Sequence[Output], rows: Rows, base: BaseInfo) -> list[Prediction]:
        """Outputs into one prediction for each row. Both come in the order of the rows, parts by their number."""
        raise NotImplementedError

    def scores(self, predictions: Sequence[Prediction], rows: Rows) -> dict[str, float]:
        """All scores, `primary` among them, over whole predictions."""
        raise NotImplementedError

    def example_scores(self, predictions: Sequence[Prediction], rows: Rows) -> list[float]:
        """One number for each row; their mean is the primary score. Paired intervals are made of these.

        A primary score that is no mean over rows, such as an F1 over all entities or a perplexity, is shared out
        over the rows by `tlplug.jackknife_values`.
        """
        raise NotImplementedError

    def trivial_predictions(self, train: Rows, rows: Rows, base: BaseInfo) -> list[Prediction]:
        """Predictions for `rows` that need no model: the majority, the lead sentence, ..."""
        raise NotImplementedError

    def preview_prediction(self, prediction: Prediction, row: Row) -> str | None:
        """A prediction of the validation as one line for a person, shown while training; None shows nothing."""
        return None
