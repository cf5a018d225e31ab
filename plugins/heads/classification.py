"""Labels, or a number, for a text or a pair of texts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

from tlplug import (
    BaseInfo,
    Batch,
    LoadOptions,
    Row,
    Rows,
    StepOutput,
    TaskHead,
    UsageError,
    has_model,
    load_pretrained,
)
from tlplug_plugins.heads.batching.padding import padded
from tlplug_plugins.heads.problem_types import PROBLEMS
from tlplug_plugins.heads.problem_types.problem_type import Problem

if TYPE_CHECKING:
    import torch
    from torch import nn
    from transformers import PreTrainedModel

NOT_INPUTS = ("id", "labels")
BALANCED = "balanced"


class Classification(TaskHead):
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
    single_forward_pass = True
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

    weights: list[float] | None = None
    """Of the labels in the loss; `bound_to` sets it on the copy that trains."""

    @property
    def problem_posed(self) -> Problem:
        return PROBLEMS[self.config.problem_type](self.labels, self.config.threshold)

    @property
    def primary_score(self) -> str:  # type: ignore[override]
        return PROBLEMS[self.config.problem_type].primary

    def label_space(self, rows: Rows) -> tuple[str, ...]:
        return self.problem_posed.label_space([row["label"] for row in rows])

    def bound_to(self, train: Rows) -> Self:
        bound, asked = super().bound_to(train), self.config.class_weights
        if len(bound.labels) < 2 and self.config.problem_type != "regression":
            known = ", ".join(bound.labels) or "none"
            raise UsageError(f"the training rows have fewer than two labels in column 'label': {known}")
        if asked is None:
            return bound
        asked = asked if asked == BALANCED else {str(label): weight for label, weight in asked.items()}
        if strange := [label for label in asked if asked != BALANCED and label not in bound.labels]:
            raise UsageError(
                f"head.class_weights names {', '.join(strange)}; the labels are: {', '.join(bound.labels)}"
            )
        bound.weights = bound.problem_posed.class_weights([row["label"] for row in train], asked)
        return bound

    def problem(self, row: Row) -> str | None:
        for column in ("text", "text_pair"):
            if column not in row:
                continue
            if not isinstance(row[column], str):
                return f"column '{column}' should be text, but is {row[column]!r}"
            if not row[column].strip():
                return f"column '{column}' is empty"
        return None

    def target_problem(self, row: Row) -> str | None:
        fault = self.problem_posed.fault(row["label"])
        return f"column 'label' {fault}" if fault else None

    def class_of(self, row: Row) -> str | None:
        return str(row["label"]) if self.config.problem_type == "single_label" else None

    def why_incompatible(self, base: BaseInfo) -> str | None:
        from transformers import AutoModelForSequenceClassification

        if has_model(AutoModelForSequenceClassification, base):
            return None
        return f"transformers has no sequence classification for {base.config.model_type}."

    def load_model(self, base: BaseInfo, options: LoadOptions) -> PreTrainedModel:
        from transformers import AutoModelForSequenceClassification

        return load_pretrained(
            AutoModelForSequenceClassification,
            base,
            options,
            num_labels=len(self.labels),
            id2label=dict(enumerate(self.labels)),
            label2id=self.problem_posed.index,
            problem_type=self.problem_posed.name,
        )

    def encode(self, rows: Rows, base: BaseInfo, training: bool) -> list[dict[str, Any]]:
        pairs = [row["text_pair"] for row in rows if "text_pair" in row] or None
        if pairs is not None and len(pairs) < len(rows):
            raise UsageError(
                "some rows have a column 'text_pair' and some have none; all or no rows are pairs"
            )
        encoded = base.tokenizer(
            [row["text"] for row in rows], pairs, truncation=True, max_length=base.max_length
        )
        posed = self.problem_posed
        features = [
            {"id": row["id"], **{name: encoded[name][i] for name in encoded}} for i, row in enumerate(rows)
        ]
        if training:
            for feature, row in zip(features, rows, strict=True):
                feature["labels"] = posed.target(row["label"])
        return features

    def collate(self, features: Sequence[dict[str, Any]], base: BaseInfo) -> Batch:
        side = base.tokenizer.padding_side
        batch = padded(features, base, side=side)
        if side == "left" and base.kind == "decoder":
            # Positions count real tokens, or a row would change with what it is padded to.
            batch["position_ids"] = (batch["attention_mask"].cumsum(-1) - 1).clamp(min=0)
        return batch

    def training_step(self, model: nn.Module, batch: Batch) -> StepOutput:
        logits = self._logits(model, batch)
        weights = None if self.weights is None else logits.new_tensor(self.weights)
        loss = self.problem_posed.loss(logits, batch["labels"], weights)
        return StepOutput(loss, num_items=self.problem_posed.weight(batch["labels"], weights))

    def predict(self, model: nn.Module, batch: Batch) -> list[dict[str, Any]]:
        outputs = self.problem_posed.outputs(self._logits(model, batch))
        return [
            {"id": identity, "output": output}
            for identity, output in zip(batch["id"].tolist(), outputs, strict=True)
        ]

    def _logits(self, model: nn.Module, batch: Batch) -> torch.Tensor:
        inputs = {name: value for name, value in batch.items() if name not in NOT_INPUTS}
        return model(**inputs).logits.float()  # type: ignore[no-any-return]

    def decode(self, outputs: Sequence[dict[str, Any]], rows: Rows, base: BaseInfo) -> list[dict[str, Any]]:
        posed = self.problem_posed
        return [{"id": output["id"], **posed.prediction(output["output"])} for output in outputs]

    def scores(self, predictions: Sequence[dict[str, Any]], rows: Rows) -> dict[str, float]:
        return self.problem_posed.scores(predictions, [row["label"] for row in rows])

    def example_scores(self, predictions: Sequence[dict[str, Any]], rows: Rows) -> list[float]:
        return self.problem_posed.example_scores(predictions, [row["label"] for row in rows])

    def trivial_predictions(self, train: Rows, rows: Rows, base: BaseInfo) -> list[dict[str, Any]]:
        """The majority label, the labels' shares or the mean of the training rows."""
        posed = self.problem_posed
        output = posed.trivial([row["label"] for row in train])
        return [{"id": row["id"], **posed.prediction(output)} for row in rows]
