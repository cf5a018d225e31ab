"""The base class of heads that use one transformers Auto class."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from tlplug.errors import PluginError, UsageError
from tlplug.interfaces import BaseInfo, Batch, LoadOptions, Prediction, Row, Rows, StepOutput, TaskHead
from tlplug.models.loading import has_model, load_pretrained

if TYPE_CHECKING:
    import torch
    from torch import nn
    from transformers import PreTrainedModel


class TransformersHead(TaskHead):
    """A head that is defined by an Auto class, the processor's inputs, the target, the loss and the answer.

    Each row is one feature and one forward pass. A subclass sets `contract`, `columns`, `targets`, `auto_class` and
    `primary_score`, and implements `inputs` and `example_scores`. By default the rest is that of a classifier: the
    labels are the distinct values of the only target column, the loss is their cross entropy, and the answer is the
    label with the largest logit.
    """

    required: ClassVar[Sequence[str]] = (
        "columns",
        "targets",
        "auto_class",
        "primary_score",
        "inputs or encode",
        "example_scores",
    )
    """Names that a subclass has to define; `a or b` requires one of the two."""
    auto_class: str
    """Name of the transformers Auto class that puts the head on the base model: `AutoModelForSequenceClassification`."""
    single_forward_pass = True
    logits_per_row = True

    def inputs(self, row: Row) -> Any:
        """Return the processor's input for a row: a text, a tuple of two texts, an image or a waveform.

        For a base model without a processor, return a dict of arrays, which is passed to the model unchanged.
        """
        raise NotImplementedError

    def target(self, row: Row) -> Any:
        """Return the target of a row, a number or a list of numbers: by default the index of its label."""
        return self.labels.index(str(row[self._only_target]))

    def loss(self, outputs: Any, batch: Batch) -> torch.Tensor:
        """Compute the loss, a mean over the rows of the batch; `batch["labels"]` stacks the targets.

        Args:
            outputs: the output of the transformers model.
        """
        from torch.nn.functional import cross_entropy

        return cross_entropy(outputs.logits.float(), batch["labels"])

    def answer(self, output: Any, row: Row) -> Any:
        """Return the prediction for a row: by default the label of the largest logit.

        Args:
            output: the row's part of `output_of`, as a plain number or list.
        """
        return self.labels[max(range(len(self.labels)), key=output.__getitem__)]

    def output_of(self, outputs: Any) -> torch.Tensor:
        """Return the tensor [B, ...] whose rows `answer` receives: by default the logits."""
        return outputs.logits.float()  # type: ignore[no-any-return]

    def process(self, inputs: Sequence[Any], base: BaseInfo) -> Mapping[str, Sequence[Any]]:
        """Process the inputs of several rows; return a value for each row under each of the model's argument names."""
        if isinstance(inputs[0], Mapping):
            return {name: [arrays[name] for arrays in inputs] for name in inputs[0]}
        if base.processor is None:
            raise UsageError(
                f"{base.source} has no processor: head {type(self).__name__} has to give dicts of arrays, by the names "
                "of the model's arguments"
            )
        if not base.has_tokenizer:
            return dict(base.processor(list(inputs), return_tensors="np"))
        pairs = isinstance(inputs[0], tuple)
        texts = tuple(map(list, zip(*inputs, strict=True))) if pairs else (list(inputs),)
        return dict(base.tokenizer(*texts, truncation=True, max_length=base.max_length))

    def model_config(self, base: BaseInfo) -> dict[str, Any]:
        """Return changes of the model's config: by default the number and the names of the labels."""
        if not self.labels:
            return {}
        names = dict(enumerate(self.labels))
        return {
            "num_labels": len(names),
            "id2label": names,
            "label2id": {name: i for i, name in names.items()},
        }

    def fit(self, rows: Rows) -> dict[str, Any]:
        """Return `labels`: the distinct values of the only target column, sorted, integers by value."""
        values = {
            row[self._only_target] for row in rows if isinstance(row[self._only_target], str | int | float)
        }
        ordered = (
            sorted(values) if all(isinstance(value, int) for value in values) else sorted(map(str, values))
        )
        if len(ordered) < 2:
            labels = ", ".join(map(str, ordered)) or "none"
            raise UsageError(
                f"the training rows have fewer than two labels in column '{self._only_target}': {labels}"
            )
        return {"labels": [str(value) for value in ordered]}

    def row_error(self, row: Row, with_targets: bool) -> str | None:
        for column in set(self.columns) - set(self.targets):
            value = row[column]
            if value is None or (isinstance(value, str) and not value.strip()):
                return f"column '{column}' is empty"
        if with_targets and self.labels and str(row[self._only_target]) not in self.labels:
            value = row[self._only_target]
            return f"column '{self._only_target}' is {value!r}; the labels are: {', '.join(self.labels)}"
        return None

    def why_incompatible(self, base: BaseInfo) -> str | None:
        if has_model(self._auto(), base):
            return None
        return f"transformers has no {describe_auto_class(self.auto_class)} for {base.config.model_type}."

    def load_model(self, base: BaseInfo, options: LoadOptions) -> PreTrainedModel:
        return load_pretrained(self._auto(), base, options, **self.model_config(base))

    def encode(self, rows: Rows, base: BaseInfo, training: bool) -> list[dict[str, Any]]:
        if not rows:
            return []
        encoded = self.process([self.inputs(row) for row in rows], base)
        features = [
            {"id": row["id"], **{name: values[index] for name, values in encoded.items()}}
            for index, row in enumerate(rows)
        ]
        if training:
            for feature, row in zip(features, rows, strict=True):
                feature["labels"] = self.target(row)
        return features

    def training_step(self, model: nn.Module, batch: Batch) -> StepOutput:
        loss = self.loss(model(**self.model_inputs(batch)), batch)
        return StepOutput(loss, num_items=len(batch["id"]))

    def predict(self, model: nn.Module, batch: Batch) -> list[dict[str, Any]]:
        outputs = self.output_of(model(**self.model_inputs(batch))).tolist()
        return [
            {"id": row, "output": output} for row, output in zip(batch["id"].tolist(), outputs, strict=True)
        ]

    def decode(self, outputs: Sequence[dict[str, Any]], rows: Rows, base: BaseInfo) -> list[Prediction]:
        return [
            {"id": output["id"], "prediction": self.answer(output["output"], row)}
            for output, row in zip(outputs, rows, strict=True)
        ]

    def trivial_predictions(self, train: Rows, rows: Rows, base: BaseInfo) -> list[Prediction] | None:
        """Predict the most frequent label of the training rows; None where the head has no labels."""
        if not self.labels:
            return None
        counts = [sum(str(row[self._only_target]) == label for row in train) for label in self.labels]
        most_frequent = self.labels[counts.index(max(counts))]
        return [{"id": row["id"], "prediction": most_frequent} for row in rows]

    def class_of(self, row: Row) -> str | None:
        return str(row[self._only_target]) if self.labels else None

    def pipeline_tag(self, base: BaseInfo) -> str | None:
        """Return the first task for which transformers has a pipeline of the Auto class."""
        from transformers.pipelines import SUPPORTED_TASKS

        auto = self._auto()
        return next((task for task, pipeline in SUPPORTED_TASKS.items() if auto in pipeline["pt"]), None)

    @property
    def _only_target(self) -> str:
        (target,) = self.targets
        return target

    def _auto(self) -> Any:
        import transformers

        auto = getattr(transformers, self.auto_class, None)
        if auto is None:
            raise PluginError(
                f"head {type(self).__name__}: transformers has no {self.auto_class}; auto_class is the name of an Auto "
                "class, such as AutoModelForSequenceClassification"
            )
        return auto


def describe_auto_class(auto_class: str) -> str:
    """Return the task of an Auto class in words, for example `AutoModelForMultipleChoice` -> multiple choice."""
    return " ".join(re.findall("[A-Z][a-z0-9]*", auto_class.removeprefix("AutoModelFor"))).lower()
