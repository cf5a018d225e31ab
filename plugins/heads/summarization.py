"""Summarize a document."""

from __future__ import annotations

import logging
from collections.abc import Sequence
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
    has_model,
    load_pretrained,
)
from tlplug_plugins.heads.generation.chat_messages import column_fault
from tlplug_plugins.heads.generation.summaries import DOCUMENT, EncoderDecoderSummaries, summaries_of
from tlplug_plugins.heads.generation.tokenizer_checks import tokenizer_fault
from tlplug_plugins.heads.generation.truncation import line

if TYPE_CHECKING:
    from torch import nn
    from transformers import PreTrainedModel

ROUGE = ("rouge1", "rouge2", "rougeL")

log = logging.getLogger(__name__)


class Summarization(TaskHead):
    """A summary of a document, written by an encoder-decoder or a decoder.

    Scored by ROUGE-1, ROUGE-2 and ROUGE-L (Lin 2004): F-measures of stemmed words, runs of two words and the longest
    common subsequence, means over rows. The loss is the mean cross entropy of the summary's tokens: logits [B, T, V]
    against labels [B, T], which of a decoder are the row's own next tokens, the document's left out.
    """

    contract = 1
    columns = {"document": "what is summarized", "summary": "its summary"}
    targets = ("summary",)
    head_modules = ()
    primary_score = "rougeL"

    @dataclass
    class Config:
        prompt: str = "summarize: {document}"
        """What the model is given, with {document} where it stands; the default is what T5 was trained with."""
        max_new_tokens: int = 64
        """A summary that is written is at most so long."""
        num_beams: int = 1
        """Beams of the search; 1: greedy."""
        length_penalty: float = 1.0
        """Beams are compared by log likelihood / length ** this: above 0, more favours longer ones."""
        no_repeat_ngram_size: int = 0
        """No run of so many tokens is written twice; 0: no such rule."""
        max_summary_tokens: int = 128
        """Training summaries are cut after so many tokens, the one for the end among them."""
        max_validation_rows: int = 64
        """At most so many summaries are written in each validation while training."""

        def __post_init__(self) -> None:
            if self.prompt.count(DOCUMENT) != 1:
                raise ValueError(f"prompt is {self.prompt!r}; it has to hold {DOCUMENT} once")
            if self.no_repeat_ngram_size < 0:
                raise ValueError(
                    f"no_repeat_ngram_size is {self.no_repeat_ngram_size}; it has to be at least 0"
                )
            least = {"max_new_tokens": 1, "num_beams": 1, "max_summary_tokens": 2, "max_validation_rows": 1}
            for name, value in least.items():
                if getattr(self, name) < value:
                    raise ValueError(f"{name} is {getattr(self, name)}; it has to be at least {value}")

    @property
    def max_validation_rows(self) -> int:  # type: ignore[override]
        return int(self.config.max_validation_rows)

    def row_error(self, row: Row, with_targets: bool) -> str | None:
        return column_fault(row, self.columns)

    def why_incompatible(self, base: BaseInfo) -> str | None:
        if base.kind == "encoder":
            return "it is an encoder; summaries are written by an encoder-decoder or a decoder."
        if not has_model(self._auto(base), base):
            return f"transformers has no model that generates for {base.config.model_type}."
        return tokenizer_fault(base)

    def _auto(self, base: BaseInfo) -> Any:
        from transformers import AutoModelForCausalLM, AutoModelForSeq2SeqLM

        return AutoModelForSeq2SeqLM if base.kind == "encoder-decoder" else AutoModelForCausalLM

    def _summaries(self, base: BaseInfo) -> EncoderDecoderSummaries:
        fields = ("prompt", "max_summary_tokens", "max_new_tokens")
        return summaries_of(base, **{name: getattr(self.config, name) for name in fields})

    def load_model(self, base: BaseInfo, options: LoadOptions) -> PreTrainedModel:
        from tlplug_plugins.heads.generation.generate import set_generation

        model = load_pretrained(self._auto(base), base, options)
        beams = {"length_penalty": self.config.length_penalty} if self.config.num_beams > 1 else {}
        set_generation(
            model,
            self._summaries(base).stops,
            max_new_tokens=self.config.max_new_tokens,
            num_beams=self.config.num_beams,
            no_repeat_ngram_size=self.config.no_repeat_ngram_size,
            **beams,
        )
        return model

    def encode(self, rows: Rows, base: BaseInfo, training: bool) -> list[dict[str, Any]]:
        summaries, features = self._summaries(base), []
        for row in rows:
            encoded = (
                summaries.answered(row["document"], row["summary"])
                if training
                else summaries.encode_document(row["document"])
            )
            features.append({"id": row["id"], "attention_mask": [1] * len(encoded["input_ids"]), **encoded})
        if summaries.cut:
            log.warning(
                "%d of %d documents are cut, to fit into data.max_length=%d with what is asked of them",
                summaries.cut,
                len(rows),
                base.max_length,
            )
        return features

    def collate(self, features: Sequence[dict[str, Any]], base: BaseInfo) -> Batch:
        from tlplug_plugins.heads.generation.packing import unpacked

        return unpacked(features, base)

    def training_step(self, model: nn.Module, batch: Batch) -> StepOutput:
        from tlplug_plugins.heads.generation.likelihood import mean_loss, target_logits, token_logits

        logits = target_logits if model.config.is_encoder_decoder else token_logits
        return mean_loss(logits(model, batch), batch["labels"])

    def predict(self, model: nn.Module, batch: Batch) -> list[dict[str, Any]]:
        from tlplug_plugins.heads.generation.generate import generate

        written = generate(model, batch)
        return [
            {"id": row, "tokens": tokens} for row, tokens in zip(batch["id"].tolist(), written, strict=True)
        ]

    def decode(self, outputs: Sequence[dict[str, Any]], rows: Rows, base: BaseInfo) -> list[dict[str, Any]]:
        texts = base.tokenizer.batch_decode([o["tokens"] for o in outputs], skip_special_tokens=True)
        return [
            {"id": output["id"], "prediction": text.strip()}
            for output, text in zip(outputs, texts, strict=True)
        ]

    def scores(self, predictions: Sequence[dict[str, Any]], rows: Rows) -> dict[str, float]:
        row_scores = self._rouge(predictions, rows, ROUGE)
        return {name: fmean(row[name] for row in row_scores) for name in ROUGE}

    def example_scores(self, predictions: Sequence[dict[str, Any]], rows: Rows) -> list[float]:
        return [row[self.primary_score] for row in self._rouge(predictions, rows, (self.primary_score,))]

    def _rouge(
        self, predictions: Sequence[dict[str, Any]], rows: Rows, kinds: Sequence[str]
    ) -> list[dict[str, float]]:
        from rouge_score.rouge_scorer import RougeScorer

        scorer = RougeScorer(list(kinds), use_stemmer=True)
        return [
            {kind: score.fmeasure for kind, score in scorer.score(row["summary"], p["prediction"]).items()}
            for p, row in zip(predictions, rows, strict=True)
        ]

    def trivial_predictions(self, train: Rows, rows: Rows, base: BaseInfo) -> list[dict[str, Any]]:
        """Return the lead: as many words from the start of the document as the training summaries have on average."""
        words = max(1, round(fmean(len(row["summary"].split()) for row in train)))
        return [{"id": row["id"], "prediction": " ".join(row["document"].split()[:words])} for row in rows]

    def pipeline_tag(self, base: BaseInfo) -> str:
        return "summarization"

    def preview_prediction(self, prediction: dict[str, Any], row: Row) -> str | None:
        return line(row["document"], prediction["prediction"])
