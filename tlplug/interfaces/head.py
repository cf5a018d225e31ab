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
"""An encoded example: `id` and what the head needs, as JSON types or numpy arrays.

Where a row gives several features (windows of a long text), each has a `part` too, counted from 0.
"""
Output = dict[str, Any]
"""What the model says of one feature: its `id`, its `part` where it has one, and plain numbers or lists."""
Prediction = dict[str, Any]
"""The same of one row for a person: `id`, `prediction` and what goes with it; JSON types only."""
State = Mapping[str, Any]
"""What a head learns from rows, in JSON types, by name; `labels` are its classes in the order of the logits."""

MODEL_INPUTS = (
    *("input_ids", "attention_mask", "token_type_ids", "position_ids", "inputs_embeds"),
    *("pixel_values", "pixel_mask", "bool_masked_pos", "input_values", "input_features"),
)
"""Names under which transformers' processors give what goes into a model."""


class TaskHead:
    """Define a task: which columns are read, how rows are encoded, the loss, predictions and scores.

    Entry-point group `tlplug.heads`. A subclass sets `contract`, `columns` and `primary_score` and implements `load_model`,
    `encode`, `training_step`, `predict` and `example_scores`; all else has a default. A head of one transformers Auto class
    is shorter as a `TransformersHead`. A class attribute that depends on the head's Config may be a property.
    """

    contract: ClassVar[int]
    columns: Mapping[str, str]
    """The columns it needs -> what each means."""
    optional_columns: Mapping[str, str] = {}
    """Columns that it reads where the data has them -> what each means."""
    targets: Sequence[str] = ()
    """Those of its columns that hold what is to be predicted: rows to be predicted need not have them."""
    head_modules: Sequence[str] = ()
    """Names of the modules that it adds to the model, dotted where they lie deeper: always trained and saved, never
    quantized."""
    primary_score: str
    """The score that runs are compared by."""
    higher_is_better: bool = True
    display_scale: int = 100
    """What the primary score is multiplied by for a person: 100 for a share, 1 for a perplexity."""
    max_validation_rows: int | None = None
    """At most so many rows are predicted in each validation while training; None: all. The test has no limit."""
    single_forward_pass: bool = False
    """Whether `training_step` and `predict` call the model once for a batch, with inputs that are the same each time:
    frozen layers can be computed once then. Not so where a model generates, or where inputs are drawn at random."""
    logits_per_row: bool = False
    """Whether the head's modules make one vector of `logits` [B, K] for each row, from one vector of features: a strategy
    may put a classifier of its own in their place then, or read the features that they are given."""

    @dataclass
    class Config:
        """The head's own fields: the only home of their defaults."""

    def __init__(self, config: Any = None) -> None:
        self.config = self.Config() if config is None else config
        self.state: State = {}

    @property
    def labels(self) -> tuple[str, ...]:
        """Return the classes that `fit` found, in the order of the logits; none where the head has none."""
        return tuple(self.state.get("labels", ()))

    @property
    def tunes(self) -> bool:
        """Whether `tune` is called, which costs a pass over the validation rows; by default where it is overridden."""
        return type(self).tune is not TaskHead.tune

    def with_state(self, state: State) -> Self:
        """Return a copy of this head that has this state."""
        fitted = copy.copy(self)
        fitted.state = dict(state)
        return fitted

    def fit(self, rows: Rows) -> dict[str, Any]:
        """Return what the head learns from the training rows, such as `labels`, class weights or a scaling.

        Called once, before anything is encoded. Plain JSON: it is saved in head.json and is `self.state` from there on.

        Raises:
            UsageError: the rows cannot be learnt from, such as rows of one class.
        """
        return {}

    def row_error(self, row: Row, with_targets: bool) -> str | None:
        """Return what is wrong with a row, with the column's name in quotes; None where nothing is.

        Args:
            with_targets: the row is trained on or scored; else it is to be predicted and may have no targets.
        """
        return None

    def class_of(self, row: Row) -> str | None:
        """Return the one class of a row with targets, for metrics about classes; None where rows have none, or several."""
        return None

    def why_incompatible(self, base: BaseInfo) -> str | None:
        """Return why the head cannot work on this base model, one sentence; None where it can. No weights are loaded yet."""
        return None

    def load_model(self, base: BaseInfo, options: LoadOptions) -> PreTrainedModel:
        """Load the base model with this head on it, through a transformers Auto class (`tlplug.load_pretrained`)."""
        raise NotImplementedError

    def encode(self, rows: Rows, base: BaseInfo, training: bool) -> list[Feature]:
        """Encode each row as one feature (or more, for windows of a long row), in the order of the rows.

        Args:
            training: for `training_step`, with the targets; else for `predict`, where a row may have no targets.
        """
        raise NotImplementedError

    def collate(self, features: Sequence[Feature], base: BaseInfo) -> Batch:
        """Make a batch of features: pad what is ragged to the longest, stack the rest; `id` [B].

        May run in a worker (`data.num_workers`), so it computes on the processor and changes nothing of the head. Draw
        random numbers from torch's global generator alone: it is seeded for each batch by the run's seed, the epoch and
        the features, and put back afterwards, so that a batch is the same in any process and after a resume.
        """
        return pad_batch(features, base)

    def training_step(self, model: nn.Module, batch: Batch) -> StepOutput:
        """Compute the loss of a batch."""
        raise NotImplementedError

    def predict(self, model: nn.Module, batch: Batch) -> list[Output]:
        """Return one output for each feature of the batch, for validation and test; may generate."""
        raise NotImplementedError

    def tune(self, outputs: Sequence[Output], rows: Rows, base: BaseInfo) -> dict[str, Any]:
        """Find values that `decode` is better with, such as a threshold, on the validation rows after training.

        Returns:
            Plain JSON, which joins `self.state`.
        """
        return {}

    def decode(self, outputs: Sequence[Output], rows: Rows, base: BaseInfo) -> list[Prediction]:
        """Turn outputs into one prediction for each row. Both come in the order of the rows, parts by their number.

        The default takes the output of each row's only feature, which has to hold `prediction`.

        Raises:
            ValueError: a row has several outputs, so the head has to define how they make one prediction.
        """
        if len(outputs) != len(rows):
            raise ValueError(
                f"{len(outputs)} outputs for {len(rows)} rows: {type(self).__name__} has to define decode"
            )
        return [{name: value for name, value in output.items() if name != "part"} for output in outputs]

    def scores(self, predictions: Sequence[Prediction], rows: Rows) -> dict[str, float]:
        """Return all scores, the primary one among them, over whole predictions; by default the primary one alone."""
        from statistics import fmean

        return {self.primary_score: fmean(self.example_scores(predictions, rows))}

    def example_scores(self, predictions: Sequence[Prediction], rows: Rows) -> list[float]:
        """Return one number for each row; their mean is the primary score. Paired intervals are made of these.

        A primary score that is no mean over rows, such as an F1 over all entities or a perplexity, is shared out
        over the rows by `tlplug.jackknife_values`.
        """
        raise NotImplementedError

    def trivial_predictions(self, train: Rows, rows: Rows, base: BaseInfo) -> list[Prediction] | None:
        """Predict `rows` without a model: the majority, the lead sentence, ...; None: there is no such baseline."""
        return None

    def length(self, feature: Mapping[str, Any]) -> int:
        """Return what a feature costs to compute: its tokens, else 1. Batches are sorted and cut by it."""
        return len(feature["input_ids"]) if "input_ids" in feature else 1

    def mask(self, batch: Batch) -> torch.Tensor | None:
        """Return [B, T], 1 where a batch has something real and 0 where it is padded; None: each row is one whole."""
        return batch.get("attention_mask")

    def model_inputs(self, batch: Batch) -> dict[str, Any]:
        """Return what of a batch goes into the model, by the names of its arguments."""
        return {name: batch[name] for name in MODEL_INPUTS if name in batch}

    def preview(self, feature: Mapping[str, Any], base: BaseInfo) -> str:
        """Return a feature as a person can read it: its decoded text, or the shape of what the model gets."""
        if "input_ids" in feature:
            return repr(base.tokenizer.decode(feature["input_ids"]))
        shapes = {name: getattr(value, "shape", None) for name, value in feature.items()}
        return ", ".join(f"{name} {list(shape)}" for name, shape in shapes.items() if shape)

    def pipeline_tag(self, base: BaseInfo) -> str | None:
        """Return the hub's name of the task, such as `text-classification`, for the model card; None where it has none."""
        return None

    def preview_prediction(self, prediction: Prediction, row: Row) -> str | None:
        """Return a prediction of the validation as one line, shown while training; None shows nothing."""
        return None
