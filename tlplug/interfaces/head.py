"""The contract of a task head."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Self

from tlplug.interfaces.collate import pad_batch
from tlplug.interfaces.types import BaseInfo, Batch, LoadOptions, Row, Rows, StepOutput

if TYPE_CHECKING:
    import torch
    from torch import nn
    from transformers import PreTrainedModel

Feature = dict[str, Any]
"""An encoded example: `id` and the head's inputs, as JSON types or numpy arrays.

Where a row gives several features (windows of a long text), each has a `part` too, counted from 0.
"""
Output = dict[str, Any]
"""The model's output for one feature: its `id`, its `part` where it has one, and plain numbers or lists."""
Prediction = dict[str, Any]
"""The decoded prediction for one row: `id`, `prediction` and further values; JSON types only."""
State = Mapping[str, Any]
"""The values that a head learns from rows, in JSON types, by name; `labels` are its classes in the order of the logits."""

MODEL_INPUTS = (
    "input_ids", "attention_mask", "token_type_ids", "position_ids", "inputs_embeds",
    "pixel_values", "pixel_mask", "bool_masked_pos", "input_values", "input_features",
)  # fmt: skip
"""Names of model inputs in the results of transformers' processors."""


class TaskHead:
    """A task: the columns it reads, the encoding of rows, the loss, predictions and scores.

    Entry-point group `tlplug.heads`. A subclass sets `contract`, `columns` and `primary_score` and implements `load_model`,
    `encode`, `training_step`, `predict` and `example_scores`; all else has a default. A head of one transformers Auto class
    is shorter as a `TransformersHead`. A class attribute that depends on the head's Config may be a property.
    """

    contract: ClassVar[int]
    columns: Mapping[str, str]
    """The required columns with their meanings."""
    optional_columns: Mapping[str, str] = {}
    """Further columns with their meanings, read where the data has them."""
    targets: Sequence[str] = ()
    """The columns to predict; rows for prediction need not have them."""
    head_modules: Sequence[str] = ()
    """Dotted names of the modules that the head adds to the model; they are always trained and saved, never quantized."""
    primary_score: str
    """The score by which runs are compared."""
    higher_is_better: bool = True
    display_scale: int = 100
    """The factor for showing the primary score: 100 for a share, 1 for a perplexity."""
    max_validation_rows: int | None = None
    """The most rows to predict in each validation during training; None: all. The test has no limit."""
    single_forward_pass: bool = False
    """Whether `training_step` and `predict` call the model once for each batch, with the same inputs each time, so that
    frozen layers can be computed once. False for a model that generates, or for inputs drawn at random."""
    logits_per_row: bool = False
    """Whether the head's modules compute one vector of `logits` [B, K] for each row from one vector of features, so that a
    strategy can replace them by its own classifier, or read their input."""

    @dataclass
    class Config:
        """The head's own fields: the only home of their defaults."""

    def __init__(self, config: Any = None) -> None:
        self.config = self.Config() if config is None else config
        self.state: State = {}

    @property
    def labels(self) -> tuple[str, ...]:
        """The classes from `fit` in the order of the logits; empty where the head has none."""
        return tuple(self.state.get("labels", ()))

    @property
    def tunes(self) -> bool:
        """Whether to call `tune`, which costs a pass over the validation rows; by default whether it is overridden."""
        return type(self).tune is not TaskHead.tune

    def with_state(self, state: State) -> Self:
        """Return a copy of this head with a state."""
        fitted = copy.copy(self)
        fitted.state = dict(state)
        return fitted

    def fit(self, rows: Rows) -> dict[str, Any]:
        """Learn a state from the training rows, such as `labels`, class weights or a scaling, and return it.

        Called once, before anything is encoded. The state is plain JSON; it is saved in head.json and becomes `self.state`.

        Raises:
            UsageError: the rows do not allow training, for example because they have one class.
        """
        return {}

    def row_error(self, row: Row, with_targets: bool) -> str | None:
        """Return an error in a row as a message with the column's name in quotes; None where the row is valid.

        Args:
            with_targets: whether the row is for training or scoring; a row for prediction need not have targets.
        """
        return None

    def class_of(self, row: Row) -> str | None:
        """Return the class of a row with targets, for metrics about classes; None where rows have none or several."""
        return None

    def why_incompatible(self, base: BaseInfo) -> str | None:
        """Return in one sentence why the head does not support this base model, before its weights are loaded; else None."""
        return None

    def load_model(self, base: BaseInfo, options: LoadOptions) -> PreTrainedModel:
        """Load the base model with this head through a transformers Auto class (`tlplug.load_pretrained`)."""
        raise NotImplementedError

    def encode(self, rows: Rows, base: BaseInfo, training: bool) -> list[Feature]:
        """Encode each row as one feature (or more, for windows of a long row), in the order of the rows.

        Args:
            training: whether the features are for `training_step`, with targets, or for `predict`, without.
        """
        raise NotImplementedError

    def collate(self, features: Sequence[Feature], base: BaseInfo) -> Batch:
        """Collate features into a batch: pad lists to the longest and stack other values; `id` [B].

        May run in a worker (`data.num_workers`), so it computes on the CPU and does not change the head. Draw random
        numbers from torch's global generator only. It is seeded for each batch by the run's seed, the epoch and the
        features, and restored afterwards, so that a batch is the same in any process and after a resume.
        """
        return pad_batch(features, base)

    def training_step(self, model: nn.Module, batch: Batch) -> StepOutput:
        """Compute the loss of a batch."""
        raise NotImplementedError

    def predict(self, model: nn.Module, batch: Batch) -> list[Output]:
        """Return one output for each feature of the batch, for validation and test, also by generation."""
        raise NotImplementedError

    def tune(self, outputs: Sequence[Output], rows: Rows, base: BaseInfo) -> dict[str, Any]:
        """Tune values for `decode`, such as a threshold, on the validation rows after training.

        Returns:
            Plain JSON, which is added to `self.state`.
        """
        return {}

    def decode(self, outputs: Sequence[Output], rows: Rows, base: BaseInfo) -> list[Prediction]:
        """Decode outputs into one prediction for each row. Outputs are in the order of rows and parts.

        By default a row has one output, with its `prediction`.

        Raises:
            ValueError: a row has several outputs, so the head has to define how they make one prediction.
        """
        if len(outputs) != len(rows):
            raise ValueError(
                f"{len(outputs)} outputs for {len(rows)} rows: {type(self).__name__} has to define decode"
            )
        return [{name: value for name, value in output.items() if name != "part"} for output in outputs]

    def scores(self, predictions: Sequence[Prediction], rows: Rows) -> dict[str, float]:
        """Return all scores of the predictions by name, including the primary score; by default only that."""
        from statistics import fmean

        return {self.primary_score: fmean(self.example_scores(predictions, rows))}

    def example_scores(self, predictions: Sequence[Prediction], rows: Rows) -> list[float]:
        """Return one number for each row, whose mean is the primary score. Paired intervals are computed from them.

        For a primary score that is not a mean over rows, such as an F1 over all entities or a perplexity, use
        `tlplug.jackknife_values`.
        """
        raise NotImplementedError

    def trivial_predictions(self, train: Rows, rows: Rows, base: BaseInfo) -> list[Prediction] | None:
        """Predict `rows` without a model, for example the majority class or the lead sentence; None: no such baseline."""
        return None

    def length(self, feature: Mapping[str, Any]) -> int:
        """Return a feature's cost in tokens, else 1, by which batches are sorted and sized."""
        return len(feature["input_ids"]) if "input_ids" in feature else 1

    def mask(self, batch: Batch) -> torch.Tensor | None:
        """Return [B, T] with 1 at real positions and 0 at padding; None where rows have no positions."""
        return batch.get("attention_mask")

    def model_inputs(self, batch: Batch) -> dict[str, Any]:
        """Return the model's arguments from a batch, by name."""
        return {name: batch[name] for name in MODEL_INPUTS if name in batch}

    def preview(self, feature: Mapping[str, Any], base: BaseInfo) -> str:
        """Return a readable form of a feature: its decoded text, or the shapes of the model's inputs."""
        if "input_ids" in feature:
            return repr(base.tokenizer.decode(feature["input_ids"]))
        shapes = {name: getattr(value, "shape", None) for name, value in feature.items()}
        return ", ".join(f"{name} {list(shape)}" for name, shape in shapes.items() if shape)

    def pipeline_tag(self, base: BaseInfo) -> str | None:
        """Return the hub's name of the task for the model card, such as `text-classification`, or None."""
        return None

    def preview_prediction(self, prediction: Prediction, row: Row) -> str | None:
        """Return a validation prediction as one line, shown during training; None shows nothing."""
        return None
