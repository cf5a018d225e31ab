"""One label for a text."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from tlplug import BaseInfo, Batch, LoadOptions, Row, Rows, StepOutput, TaskHead, load_pretrained

if TYPE_CHECKING:
    import torch
    from torch import nn
    from transformers import PreTrainedModel

NOT_INPUTS = ("id", "labels")


class Classification(TaskHead):
    """One label for a text, out of two or more.

    Scored by accuracy, macro F1, MCC and calibration error (Naeini et al. 2015, 15 bins). The loss is the
    cross entropy of the logits [B, K] against the label's index [B], a mean over the B rows.
    """

    contract = 1
    columns = {"text": "what is classified", "label": "its class, a name or an integer"}
    output_modules = ("classifier", "score", "classification_head", "pre_classifier")
    primary = "accuracy"

    def label_space(self, rows: Rows) -> tuple[str, ...]:
        """All labels of the rows: integers in their order, names in the alphabet's."""
        found = {row["label"] for row in rows if row["label"] is not None}
        if all(isinstance(label, int) for label in found):
            return tuple(str(label) for label in sorted(found))
        return tuple(sorted(str(label) for label in found))

    def problem(self, row: Row) -> str | None:
        if not isinstance(row["text"], str):
            return f"column 'text' should be text, but is {row['text']!r}"
        if not row["text"].strip():
            return "column 'text' is empty"
        if row["label"] is None or str(row["label"]).strip() == "":
            return "column 'label' is empty"
        if str(row["label"]) not in self.labels:
            return f"column 'label' is {row['label']!r}, which no training row has; there is: {', '.join(self.labels)}"
        return None

    def _index(self) -> dict[str, int]:
        return {label: position for position, label in enumerate(self.labels)}

    def load_model(self, base: BaseInfo, options: LoadOptions) -> PreTrainedModel:
        from transformers import AutoModelForSequenceClassification

        return load_pretrained(
            AutoModelForSequenceClassification,
            base,
            options,
            num_labels=len(self.labels),
            id2label=dict(enumerate(self.labels)),
            label2id=self._index(),
            problem_type="single_label_classification",
        )

    def encode(self, rows: Rows, base: BaseInfo) -> list[dict[str, Any]]:
        texts = [row["text"] for row in rows]
        encoded = base.tokenizer(texts, truncation=True, max_length=base.max_length)
        index = self._index()
        return [
            {
                "id": row["id"],
                "label": index[str(row["label"])],
                **{name: encoded[name][i] for name in encoded},
            }
            for i, row in enumerate(rows)
        ]

    def collate(self, features: Sequence[dict[str, Any]], base: BaseInfo) -> Batch:
        import torch

        inputs = [{k: v for k, v in feature.items() if k not in ("id", "label")} for feature in features]
        batch = dict(base.tokenizer.pad(inputs, padding="longest", return_tensors="pt"))
        batch["labels"] = torch.tensor([feature["label"] for feature in features])
        batch["id"] = torch.tensor([feature["id"] for feature in features])
        return batch

    def step(self, model: nn.Module, batch: Batch) -> StepOutput:
        from torch.nn.functional import cross_entropy

        return StepOutput(
            cross_entropy(self._logits(model, batch), batch["labels"]), weight=len(batch["labels"])
        )

    def predict(self, model: nn.Module, batch: Batch) -> list[dict[str, Any]]:
        probabilities = self._logits(model, batch).softmax(dim=-1)
        return [
            {"id": identity, "probabilities": row}
            for identity, row in zip(batch["id"].tolist(), probabilities.tolist(), strict=True)
        ]

    def _logits(self, model: nn.Module, batch: Batch) -> torch.Tensor:
        inputs = {name: value for name, value in batch.items() if name not in NOT_INPUTS}
        return model(**inputs).logits.float()  # type: ignore[no-any-return]

    def decode(self, outputs: Sequence[dict[str, Any]], rows: Rows) -> list[dict[str, Any]]:
        return [self._prediction(output["id"], output["probabilities"]) for output in outputs]

    def _prediction(self, identity: int, probabilities: Sequence[float]) -> dict[str, Any]:
        best = max(range(len(self.labels)), key=probabilities.__getitem__)
        named = dict(zip(self.labels, probabilities, strict=True))
        return {"id": identity, "prediction": self.labels[best], "probabilities": named}

    def scores(self, predictions: Sequence[dict[str, Any]], rows: Rows) -> dict[str, float]:
        import torch
        from torchmetrics.functional import classification as tm

        index = self._index()
        target = torch.tensor([index[str(row["label"])] for row in rows])
        probabilities = torch.tensor(
            [list(p["probabilities"].values()) for p in predictions], dtype=torch.float64
        )
        chosen, k = torch.tensor([index[p["prediction"]] for p in predictions]), len(self.labels)
        found = {
            "accuracy": tm.multiclass_accuracy(chosen, target, k, average="micro"),
            "macro_f1": tm.multiclass_f1_score(chosen, target, k, average="macro"),
            "mcc": tm.multiclass_matthews_corrcoef(chosen, target, k),
            "calibration_error": tm.multiclass_calibration_error(probabilities, target, k),
        }
        return {name: float(value) for name, value in found.items()}

    def example_scores(self, predictions: Sequence[dict[str, Any]], rows: Rows) -> list[float]:
        return [float(p["prediction"] == str(row["label"])) for p, row in zip(predictions, rows, strict=True)]

    def trivial(self, train: Rows, rows: Rows) -> list[dict[str, Any]]:
        """The majority label of the training rows, with their label shares as probabilities."""
        counts = Counter(str(row["label"]) for row in train)
        shares = [counts[label] / len(train) for label in self.labels]
        return [self._prediction(row["id"], shares) for row in rows]
