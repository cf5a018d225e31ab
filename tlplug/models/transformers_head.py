"""A head of one transformers Auto class, which says only what is its own."""

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
    """Define a task by an Auto class, what the processor is given, the target, the loss and the answer.

    Each row is one feature and one forward pass. A subclass sets `contract`, `columns`, `targets`, `auto_class` and
    `primary_score`, and implements `inputs` and `example_scores`. The defaults of the rest are those of a classifier: the
    labels are the different values of the only target column, the loss is their cross entropy, the answer is the label of
    the largest logit.
    """

    required: ClassVar[Sequence[str]] = (
        *("columns", "targets", "auto_class", "primary_score", "inputs or encode", "example_scores"),
    )
    """What a subclass has to define; of `a or b` one of the two."""
    auto_class: str
    """Name of the transformers Auto class that puts the head on the base model: `AutoModelForSequenceClassification`."""
    single_forward_pass = True
    logits_per_row = True

    def inputs(self, row: Row) -> Any:
        """Return what the processor is given of a row: a text, a tuple of two texts, an image, a waveform.

        A dict of arrays goes into the model as it is, for base models without a processor.
        """
        raise NotImplementedError

    def target(self, row: Row) -> Any:
        """Return what is learnt of a row, a number or a list of numbers: by default the place of its label."""
        return self.labels.index(str(row[self._only_target]))

    def loss(self, outputs: Any, batch: Batch) -> torch.Tensor:
        """Compute the loss, a mean over the rows of the batch; `batch["labels"]` stacks the targets.

        Args:
            outputs: of the transformers model.
        """
        from torch.nn.functional import cross_entropy

        return cross_entropy(outputs.logits.float(), batch["labels"])

    def answer(self, output: Any, row: Row) -> Any:
        """Return the prediction for a row: by default the label of the largest logit.

        Args:
            output: the row's logits as a plain number or list, as `output_of` gives them.
        """
        return self.labels[max(range(len(self.labels)), key=output.__getitem__)]

    def output_of(self, outputs: Any) -> torch.Tensor:
        """Return what `answer` is given of a batch, [B, ...]: by default the logits."""
        return outputs.logits.float()  # type: ignore[no-any-return]

    def process(self, inputs: Sequence[Any], base: BaseInfo) -> Mapping[str, Sequence[Any]]:
        """Run the processor on the inputs of several rows; a value for each row by the names of the model's arguments."""
        if isinstance(inputs[0], Mapping):
            return {name: [each[name] for each in inputs] for name in inputs[0]}
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
        """Return `labels`: the different values of the only target column, numbers in their order."""
        values = {
            row[self._only_target] for row in rows if isinstance(row[self._only_target], str | int | float)
        }
        ordered = (
            sorted(values) if all(isinstance(value, int) for value in values) else sorted(map(str, values))
        )
        if len(ordered) < 2:
            found = ", ".join(map(str, ordered)) or "none"
            raise UsageError(
                f"the training rows have fewer than two labels in column '{self._only_target}': {found}"
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
        return f"transformers has no {spelled_out(self.auto_class)} for {base.config.model_type}."

    def load_model(self, base: BaseInfo, options: LoadOptions) -> PreTrainedModel:
        return load_pretrained(self._auto(), base, options, **self.model_config(base))

    def encode(self, rows: Rows, base: BaseInfo, training: bool) -> list[dict[str, Any]]:
        if not rows:
            return []
        encoded = self.process([self.inputs(row) for row in rows], base)
        features = [
            {"id": row["id"], **{name: values[place] for name, values in encoded.items()}}
            for place, row in enumerate(rows)
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
        """Predict the label that most training rows have; None where the head has no labels."""
        if not self.labels:
            return None
        counts = [sum(str(row[self._only_target]) == label for row in train) for label in self.labels]
        most = self.labels[counts.index(max(counts))]
        return [{"id": row["id"], "prediction": most} for row in rows]

    def class_of(self, row: Row) -> str | None:
        return str(row[self._only_target]) if self.labels else None

    def pipeline_tag(self, base: BaseInfo) -> str | None:
        """Return the first task that transformers has a pipeline of the Auto class for."""
        from transformers.pipelines import SUPPORTED_TASKS

        return next((task for task, known in SUPPORTED_TASKS.items() if self._auto() in known["pt"]), None)

    @property
    def _only_target(self) -> str:
        (target,) = self.targets
        return target

    def _auto(self) -> Any:
        import transformers

        found = getattr(transformers, self.auto_class, None)
        if found is None:
            raise PluginError(
                f"head {type(self).__name__}: transformers has no {self.auto_class}; auto_class is the name of an Auto "
                "class, such as AutoModelForSequenceClassification"
            )
        return found


def spelled_out(auto_class: str) -> str:
    """Return the task of an Auto class in words: `AutoModelForSequenceClassification` -> sequence classification."""
    return " ".join(re.findall("[A-Z][a-z0-9]*", auto_class.removeprefix("AutoModelFor"))).lower()
