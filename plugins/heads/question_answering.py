"""Predict the span of a context that answers a question."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import TYPE_CHECKING, Any

from tlplug import (
    BaseInfo,
    Batch,
    LoadOptions,
    Row,
    Rows,
    StepOutput,
    TaskHead,
    TransformersHead,
    load_pretrained,
    pad_batch,
)
from tlplug_plugins.heads.span_extraction.answer_spans import best_spans, candidates, nearest_sentence
from tlplug_plugins.heads.span_extraction.context_windows import OUTSIDE, SHORTEST, windows_of
from tlplug_plugins.heads.span_extraction.squad_metrics import (
    answers_fault,
    best_of,
    best_threshold,
    exact_match,
    golds,
    token_f1,
)

if TYPE_CHECKING:
    import torch
    from torch import nn
    from transformers import PreTrainedModel


class QuestionAnswering(TransformersHead):
    """The span of a context that answers a question.

    SQuAD (Rajpurkar et al. 2016, 2018).

    Start and end logits s, e [B, T]. The loss is the mean of their two cross entropies over a window's tokens; a window
    without the answer has it at token 0. A span i..j of at most `max_answer_tokens` in the context scores s_i + e_j,
    no answer scores s_0 + e_0. A long context is read in windows that overlap; the best span of all is the answer.
    Scored by exact match and by the F1 of words.
    """

    contract = 1
    columns = {
        "context": "the text that holds the answer",
        "question": "what is asked",
        "answers": 'its answers, {"text": [...], "answer_start": [...]}; starts count characters of the context from 0',
    }
    targets = ("answers",)
    auto_class = "AutoModelForQuestionAnswering"
    logits_per_row = False
    class_of = TaskHead.class_of
    head_modules = ("qa_outputs", "qa_classifier", "splinter_qass", "head", "classifier")
    primary_score = "f1"

    @dataclass
    class Config:
        doc_stride: int = 128
        """Tokens of the context that two neighbouring windows share; at most half of what a window has room for."""
        max_answer_tokens: int = 30
        """The longest answer."""
        n_best: int = 20
        """Candidates kept of each window."""
        unanswerable: bool = False
        """Whether there are questions without an answer (SQuAD 2.0); the threshold is found on the validation rows."""

        def __post_init__(self) -> None:
            for name, least in (("doc_stride", 0), ("max_answer_tokens", 1), ("n_best", 1)):
                if getattr(self, name) < least:
                    raise ValueError(f"{name} is {getattr(self, name)}; it has to be at least {least}")

    @property
    def tunes(self) -> bool:  # type: ignore[override]
        return bool(self.config.unanswerable)

    def fit(self, rows: Rows) -> dict[str, Any]:
        return {}

    def row_error(self, row: Row, with_targets: bool) -> str | None:
        for column in ("context", "question"):
            if not isinstance(row[column], str):
                return f"column '{column}' should be text, but is {row[column]!r}"
            if not row[column].strip():
                return f"column '{column}' is empty"
        if "answers" not in row:
            return None
        fault = answers_fault(row["answers"], row["context"], self.config.unanswerable)
        return f"column 'answers' {fault}" if fault else None

    def why_incompatible(self, base: BaseInfo) -> str | None:
        if super().why_incompatible(base):
            return f"transformers has no extractive question answering for {base.config.model_type}."
        if not base.tokenizer.is_fast:
            return "its tokenizer is a slow one, which does not tell where in the text a token stands."
        if base.max_length < SHORTEST:
            return f"data.max_length={base.max_length} leaves no room for a context; at least {SHORTEST} is needed."
        return None

    def model_config(self, base: BaseInfo) -> dict[str, Any]:
        return {"num_labels": 2}

    def load_model(self, base: BaseInfo, options: LoadOptions) -> PreTrainedModel:
        from transformers import AutoModel

        model = super().load_model(base, options)
        if not options.random_weights and misses_its_trunk(model, base):
            setattr(model, model.base_model_prefix, load_pretrained(AutoModel, base, options, num_labels=2))
        return model

    def encode(self, rows: Rows, base: BaseInfo, training: bool) -> list[dict[str, Any]]:
        return windows_of(rows, base, self.config.doc_stride, training)

    def collate(self, features: Sequence[Mapping[str, Any]], base: BaseInfo) -> Batch:
        return pad_batch(features, base, {"offsets": OUTSIDE})

    def training_step(self, model: nn.Module, batch: Batch) -> StepOutput:
        from torch.nn.functional import cross_entropy

        start, end = self._logits(model, batch)
        loss = cross_entropy(start, batch["start_positions"]) + cross_entropy(end, batch["end_positions"])
        return StepOutput(loss / 2, num_items=len(start))

    def _logits(self, model: nn.Module, batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the logits of starts and of ends, [B, T] each, with padding excluded."""
        output = model(**self.model_inputs(batch))
        padding = batch["attention_mask"] == 0
        start, end = (
            logits.float().masked_fill(padding, float("-inf"))
            for logits in (output.start_logits, output.end_logits)
        )
        return start, end

    def predict(self, model: nn.Module, batch: Batch) -> list[dict[str, Any]]:
        start, end = self._logits(model, batch)
        spans = candidates(start, end, batch["offsets"], self.config.max_answer_tokens, self.config.n_best)
        null = (start[:, 0] + end[:, 0]).tolist()
        return [
            {"id": identity, "part": part, "null": none, "candidates": spans}
            for identity, part, none, spans in zip(
                batch["id"].tolist(), batch["part"].tolist(), null, spans, strict=True
            )
        ]

    def tune(self, outputs: Sequence[dict[str, Any]], rows: Rows, base: BaseInfo) -> dict[str, float]:
        """`null_threshold`: the answer is "" where no answer scores so much more than the best span."""
        if not self.config.unanswerable:
            return {}
        spans, gold = best_spans(outputs, rows), self._golds(rows)
        answered = [best_of(token_f1, text, g) for (text, _, _), g in zip(spans, gold, strict=True)]
        unanswered = [best_of(token_f1, "", g) for g in gold]
        return {"null_threshold": best_threshold([span[2] for span in spans], answered, unanswered)}

    def decode(self, outputs: Sequence[dict[str, Any]], rows: Rows, base: BaseInfo) -> list[dict[str, Any]]:
        threshold = self.state.get("null_threshold", 0.0) if self.config.unanswerable else float("inf")
        return [
            {
                "id": row["id"],
                "prediction": "" if difference > threshold else text,
                "score": score,
                "null_difference": difference,
            }
            for row, (text, score, difference) in zip(rows, best_spans(outputs, rows), strict=True)
        ]

    def _golds(self, rows: Rows) -> list[list[str]]:
        return [golds(row["answers"]["text"], self.config.unanswerable) for row in rows]

    def scores(self, predictions: Sequence[dict[str, Any]], rows: Rows) -> dict[str, float]:
        """Means over the questions; `has_answer_...` over those with an answer, `no_answer_accuracy` over the others."""
        gold = self._golds(rows)
        exact = [best_of(exact_match, p["prediction"], g) for p, g in zip(predictions, gold, strict=True)]
        f1 = self.example_scores(predictions, rows)
        scores = {"exact_match": fmean(exact), "f1": fmean(f1)}
        if not self.config.unanswerable:
            return scores
        real = [place for place, g in enumerate(gold) if g != [""]]
        unreal = [place for place, g in enumerate(gold) if g == [""]]
        if real:
            scores["has_answer_exact_match"] = fmean([exact[place] for place in real])
            scores["has_answer_f1"] = fmean([f1[place] for place in real])
        if unreal:
            scores["no_answer_accuracy"] = fmean([exact[place] for place in unreal])
        return scores

    def example_scores(self, predictions: Sequence[dict[str, Any]], rows: Rows) -> list[float]:
        return [
            best_of(token_f1, p["prediction"], g) for p, g in zip(predictions, self._golds(rows), strict=True)
        ]

    def trivial_predictions(self, train: Rows, rows: Rows, base: BaseInfo) -> list[dict[str, Any]]:
        """Return the sentence that shares most words with the question; "" where most training questions have no answer."""
        unanswered = sum(gold == [""] for gold in self._golds(train))
        silent = 2 * unanswered > len(train)
        return [
            {
                "id": row["id"],
                "prediction": "" if silent else nearest_sentence(row["question"], row["context"]),
            }
            for row in rows
        ]

    def pipeline_tag(self, base: BaseInfo) -> str:
        return "question-answering"

    def preview_prediction(self, prediction: dict[str, Any], row: Row) -> str:
        return f"{row['question']} -> {prediction['prediction'] or '(no answer)'}"


def misses_its_trunk(model: PreTrainedModel, base: BaseInfo) -> bool:
    """Return whether transformers left the trunk at random weights.

    In the question answering of Llama and its kin the trunk has another name than in all other checkpoints of theirs.
    """
    name = model.base_model_prefix
    trunk = getattr(model, name, model)
    saved_as_this = type(model).__name__ in (base.config.architectures or ())
    return type(trunk).base_model_prefix != name and not saved_as_this
