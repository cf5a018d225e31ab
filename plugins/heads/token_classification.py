"""Predict a label for each word."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tlplug import (
    BaseInfo,
    Batch,
    Row,
    Rows,
    StepOutput,
    TaskHead,
    TransformersHead,
    jackknife_values,
    pad_batch,
)
from tlplug_plugins.heads.tagging.entities import entity_counts, entity_f1, entity_scores, named_entities
from tlplug_plugins.heads.tagging.tag_columns import (
    commonest_labels,
    ordered_labels,
    tags_fault,
    words_fault,
    words_of,
)
from tlplug_plugins.heads.tagging.word_windows import NO_WORD, windows_of

if TYPE_CHECKING:
    import torch
    from torch import nn

IGNORED = -100


class TokenClassification(TransformersHead):
    """A label for each word: named entities, parts of speech.

    Logits [B, T, K], read at each word's first token. The loss is their cross entropy, a mean over the words of the
    batch. A long row is read in windows that overlap, and each word in the one where it lies farthest from a cut.
    Scored by F1, precision and recall over whole entities (Tjong Kim Sang & De Meulder 2003), which are read off labels in
    IOB1, IOB2, IOBES, BMES or BILOU form, and by accuracy over words, which is what counts where labels are no entities.
    """

    contract = 1
    columns = {
        "tokens": "the words, a list; a text is split into words and punctuation",
        "tags": "the label of each word, a list: names such as B-PER, I-PER and O, or integers",
    }
    targets = ("tags",)
    auto_class = "AutoModelForTokenClassification"
    logits_per_row = False
    class_of = TaskHead.class_of
    head_modules = ("classifier", "score", "head")
    primary_score = "entity_f1"

    @dataclass
    class Config:
        stride: int = 64
        """Tokens that two neighbouring windows of a long row share; at most half of what a window holds."""

        def __post_init__(self) -> None:
            if self.stride < 0:
                raise ValueError(f"stride is {self.stride}; it has to be at least 0")

    def fit(self, rows: Rows) -> dict[str, Any]:
        """Return `labels`: O first, then integers in their order, names in the alphabet's."""
        return {"labels": list(ordered_labels(row["tags"] for row in rows))}

    def row_error(self, row: Row, with_targets: bool) -> str | None:
        if fault := words_fault(row["tokens"]):
            return f"column 'tokens' {fault}"
        if "tags" not in row:
            return None
        fault = tags_fault(row["tags"], len(words_of(row["tokens"])), self.labels)
        return f"column 'tags' {fault}" if fault else None

    def why_incompatible(self, base: BaseInfo) -> str | None:
        if reason := super().why_incompatible(base):
            return reason
        if not base.tokenizer.is_fast:
            return "its tokenizer is a slow one, which does not tell which word a token is of."
        if base.max_length <= base.tokenizer.num_special_tokens_to_add():
            return f"data.max_length={base.max_length} leaves no room for words."
        return None

    def _index(self) -> dict[str, int]:
        return {label: position for position, label in enumerate(self.labels)}

    def encode(self, rows: Rows, base: BaseInfo, training: bool) -> list[dict[str, Any]]:
        windows_by_row = windows_of([words_of(row["tokens"]) for row in rows], base, self.config.stride)
        features = [
            {"id": row["id"], "part": part, **window}
            for row, windows in zip(rows, windows_by_row, strict=True)
            for part, window in enumerate(windows)
        ]
        return self._labelled(features, rows) if training else features

    def _labelled(self, features: list[dict[str, Any]], rows: Rows) -> list[dict[str, Any]]:
        """Return windows with `labels` [T] in place of `words`, without windows that have no word."""
        index, tags = self._index(), {row["id"]: row["tags"] for row in rows}
        for feature in features:
            feature["labels"] = [
                IGNORED if word == NO_WORD else index[str(tags[feature["id"]][word])]
                for word in feature.pop("words")
            ]
        return [feature for feature in features if any(label != IGNORED for label in feature["labels"])]

    def collate(self, features: Sequence[Mapping[str, Any]], base: BaseInfo) -> Batch:
        return pad_batch(features, base, {"labels": IGNORED, "words": NO_WORD})

    def training_step(self, model: nn.Module, batch: Batch) -> StepOutput:
        from torch.nn.functional import cross_entropy

        words = batch["labels"] != IGNORED
        loss = cross_entropy(self._logits(model, batch)[words], batch["labels"][words])
        return StepOutput(loss, num_items=int(words.sum()))

    def _logits(self, model: nn.Module, batch: Batch) -> torch.Tensor:
        return model(**self.model_inputs(batch)).logits.float()  # type: ignore[no-any-return]

    def predict(self, model: nn.Module, batch: Batch) -> list[dict[str, Any]]:
        """Return each window's `words` and the index of each word's label."""
        labels = self._logits(model, batch).argmax(-1)
        return [
            {"id": identity, "part": part, "words": words[here].tolist(), "labels": labels[here].tolist()}
            for identity, part, words, labels, here in zip(
                batch["id"].tolist(),
                batch["part"].tolist(),
                batch["words"],
                labels,
                batch["words"] != NO_WORD,
                strict=True,
            )
        ]

    def decode(self, outputs: Sequence[dict[str, Any]], rows: Rows, base: BaseInfo) -> list[dict[str, Any]]:
        """Return a label for each word; a word without a token has the first label, which is O where there is one."""
        tags = {row["id"]: [self.labels[0]] * len(words_of(row["tokens"])) for row in rows}
        for output in outputs:
            for word, label in zip(output["words"], output["labels"], strict=True):
                tags[output["id"]][word] = self.labels[label]
        return [prediction_of(row, tags[row["id"]]) for row in rows]

    def scores(self, predictions: Sequence[dict[str, Any]], rows: Rows) -> dict[str, float]:
        pairs = [
            (tag, str(gold))
            for prediction, row in zip(predictions, rows, strict=True)
            for tag, gold in zip(prediction["prediction"], row["tags"], strict=True)
        ]
        accuracy = sum(tag == gold for tag, gold in pairs) / len(pairs)
        return entity_scores(counts_of(predictions, rows)) | {"accuracy": accuracy}

    def example_scores(self, predictions: Sequence[dict[str, Any]], rows: Rows) -> list[float]:
        return jackknife_values(counts_of(predictions, rows), entity_f1)

    def trivial_predictions(self, train: Rows, rows: Rows, base: BaseInfo) -> list[dict[str, Any]]:
        """Return each word's most common label in the training rows; for other words O, or the most common of all."""
        most_common, other = commonest_labels(train)
        return [
            prediction_of(row, [most_common.get(word, other) for word in words_of(row["tokens"])])
            for row in rows
        ]

    def preview_prediction(self, prediction: dict[str, Any], row: Row) -> str:
        words = list(words_of(row["tokens"]))
        for entity in prediction["entities"]:
            words[entity["end"] - 1] += f" [{entity['type']}]"
        return " ".join(words)


def prediction_of(row: Row, tags: list[str]) -> dict[str, Any]:
    return {"id": row["id"], "prediction": tags, "entities": named_entities(words_of(row["tokens"]), tags)}


def counts_of(predictions: Sequence[dict[str, Any]], rows: Rows) -> list[tuple[int, int, int]]:
    """`entity_counts` of each row."""
    return [
        entity_counts(prediction["prediction"], [str(tag) for tag in row["tags"]])
        for prediction, row in zip(predictions, rows, strict=True)
    ]
