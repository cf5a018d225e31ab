"""Predict labels, or a number, for a text or a pair of texts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tlplug import BaseInfo, Batch, Row, Rows, StepOutput, TransformersHead, UsageError, pad_batch
from tlplug_plugins.heads.problem_types import PROBLEMS
from tlplug_plugins.heads.problem_types.problem_type import Problem, label_text

if TYPE_CHECKING:
    import torch
    from torch import nn

BALANCED = "balanced"


class Classification(TransformersHead):
    """One label for a text or a pair of texts; several labels, or a number.

    Logits [B, K] on the model's summary of the text: the first token's of most encoders, the last real token's of
    decoders, where a pad token is known. `problem_type` says what they mean: `single_label` (softmax; scored by
    accuracy), `multi_label` (a sigmoid each; micro F1) or `regression` (one number; Pearson's correlation).
    The loss is a mean over the B rows.
    """

    contract = 1
    columns = {"text": "what is classified", "label": "its class, a name or an integer"}
    optional_columns = {"text_pair": "the second text, where pairs are classified"}
    targets = ("label",)
    auto_class = "AutoModelForSequenceClassification"
    head_modules = ("classifier", "score", "classification_head", "pre_classifier", "head")

    @dataclass
    class Config:
        problem_type: str = "single_label"
        """`single_label`, `multi_label` or `regression`."""
        threshold: float = 0.5
        """A label of several is predicted from this probability on."""
        class_weights: Any = None
        """Weights in the loss: `balanced`, or {label: weight}; null: all the same."""

        def __post_init__(self) -> None:
            if self.problem_type not in PROBLEMS:
                raise ValueError(f"problem_type is {self.problem_type!r}; it is one of {', '.join(PROBLEMS)}")
            if not 0.0 < self.threshold < 1.0:
                raise ValueError(f"threshold is {self.threshold}; it has to be between 0 and 1")
            weights = self.class_weights
            if weights is None:
                return
            if self.problem_type == "regression":
                raise ValueError("class_weights are of no use to regression")
            if weights != BALANCED and not (
                isinstance(weights, dict) and all(float(weight) > 0 for weight in weights.values())
            ):
                raise ValueError(f"class_weights is {weights!r}; it is '{BALANCED}' or {{label: weight > 0}}")

    @property
    def problem_posed(self) -> Problem:
        return PROBLEMS[self.config.problem_type](self.labels, self.config.threshold)

    @property
    def primary_score(self) -> str:  # type: ignore[override]
        return PROBLEMS[self.config.problem_type].primary

    def fit(self, rows: Rows) -> dict[str, Any]:
        """Return `labels` and, where the classes are weighed, `weights` of the labels in the loss."""
        values = [row["label"] for row in rows]
        labels = self.problem_posed.labels_of(values)
        if len(labels) < 2 and self.config.problem_type != "regression":
            names = ", ".join(labels) or "none"
            raise UsageError(f"the training rows have fewer than two labels in column 'label': {names}")
        state = {"labels": list(labels)}
        return (
            state
            if self.config.class_weights is None
            else {**state, "weights": self._weights(labels, values)}
        )

    def _weights(self, labels: Sequence[str], values: Sequence[Any]) -> list[float]:
        weights = self.config.class_weights
        if weights != BALANCED:
            weights = {label_text(label): weight for label, weight in weights.items()}
            if strange := [label for label in weights if label not in labels]:
                raise UsageError(
                    f"head.class_weights names {', '.join(strange)}; the labels are: {', '.join(labels)}"
                )
        return PROBLEMS[self.config.problem_type](labels, self.config.threshold).class_weights(
            values, weights
        )

    def row_error(self, row: Row, with_targets: bool) -> str | None:
        for column in ("text", "text_pair"):
            if column not in row:
                continue
            if not isinstance(row[column], str):
                return f"column '{column}' should be text, but is {row[column]!r}"
            if not row[column].strip():
                return f"column '{column}' is empty"
        fault = self.problem_posed.fault(row["label"]) if with_targets else None
        return f"column 'label' {fault}" if fault else None

    def class_of(self, row: Row) -> str | None:
        return label_text(row["label"]) if self.config.problem_type == "single_label" else None

    def model_config(self, base: BaseInfo) -> dict[str, Any]:
        return {**super().model_config(base), "problem_type": self.problem_posed.name}

    def inputs(self, row: Row) -> Any:
        return (row["text"], row["text_pair"]) if "text_pair" in row else row["text"]

    def target(self, row: Row) -> Any:
        return self.problem_posed.target(row["label"])

    def encode(self, rows: Rows, base: BaseInfo, training: bool) -> list[dict[str, Any]]:
        if len({"text_pair" in row for row in rows}) > 1:
            raise UsageError(
                "some rows have a column 'text_pair' and some have none; all or no rows are pairs"
            )
        return super().encode(rows, base, training)

    def collate(self, features: Sequence[dict[str, Any]], base: BaseInfo) -> Batch:
        side = base.tokenizer.padding_side
        batch = pad_batch(features, base, side=side)
        if side == "left" and base.kind == "decoder":
            # Positions count real tokens, or a row would change with what it is padded to.
            batch["position_ids"] = (batch["attention_mask"].cumsum(-1) - 1).clamp(min=0)
        return batch

    def training_step(self, model: nn.Module, batch: Batch) -> StepOutput:
        logits = model(**self.model_inputs(batch)).logits.float()
        weights = logits.new_tensor(self.state["weights"]) if "weights" in self.state else None
        loss = self.problem_posed.loss(logits, batch["labels"], weights)
        return StepOutput(loss, num_items=self.problem_posed.weight(batch["labels"], weights))

    def output_of(self, outputs: Any) -> torch.Tensor:
        return self.problem_posed.outputs(outputs.logits.float())

    def decode(self, outputs: Sequence[dict[str, Any]], rows: Rows, base: BaseInfo) -> list[dict[str, Any]]:
        posed = self.problem_posed
        return [{"id": output["id"], **posed.prediction(output["output"])} for output in outputs]

    def scores(self, predictions: Sequence[dict[str, Any]], rows: Rows) -> dict[str, float]:
        return self.problem_posed.scores(predictions, [row["label"] for row in rows])

    def example_scores(self, predictions: Sequence[dict[str, Any]], rows: Rows) -> list[float]:
        return self.problem_posed.example_scores(predictions, [row["label"] for row in rows])

    def trivial_predictions(self, train: Rows, rows: Rows, base: BaseInfo) -> list[dict[str, Any]]:
        """Return the majority label, the labels' shares or the mean of the training rows."""
        posed = self.problem_posed
        output = posed.trivial([row["label"] for row in train])
        return [{"id": row["id"], **posed.prediction(output)} for row in rows]
