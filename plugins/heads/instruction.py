"""Answer instructions and continue chats."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tlplug import (
    BaseInfo,
    Batch,
    LoadOptions,
    Row,
    Rows,
    StepOutput,
    TaskHead,
    load_pretrained,
)
from tlplug_plugins.heads.generation.instruction_encoding import Answering
from tlplug_plugins.heads.generation.perplexity import by_row, shares, whole_perplexity
from tlplug_plugins.heads.generation.row_formats import FORMATS, Format
from tlplug_plugins.heads.generation.tokenizer_checks import tokenizer_fault
from tlplug_plugins.heads.generation.truncation import line

if TYPE_CHECKING:
    from torch import nn
    from transformers import PreTrainedModel

log = logging.getLogger(__name__)


class Instruction(TaskHead):
    """Answers to instructions, as a decoder gives them.

    Supervised fine-tuning on chats, on prompts with their completions, or on texts. The loss is the mean cross entropy
    of what the assistant says, its end of turn included: logits [B, T, V] against the next tokens [B, T], all others
    left out (Ouyang et al. 2022). Scored by perplexity, exp(nll / tokens) over all answers' tokens, and with `answers`
    by the accuracy of the one of smallest nll. Where a row has no answer, one is written. In training short rows are
    packed together (Krell et al. 2021), with no attention across their borders.
    """

    contract = 1
    head_modules = ()

    @dataclass
    class Config:
        format: str = "messages"
        """`messages` (chats), `prompt` (prompt and completion) or `text` (all of it is learnt)."""
        packing: bool = True
        """Whether short rows are put together in training, so that little is computed on padding."""
        answers: list[str] = field(default_factory=list)
        """All answers that are allowed, where there are only a few; accuracy is scored then."""
        max_new_tokens: int = 128
        """An answer that is written is at most so long."""

        def __post_init__(self) -> None:
            if self.format not in FORMATS:
                raise ValueError(f"format is {self.format!r}; it is one of {', '.join(FORMATS)}")
            if self.max_new_tokens < 1:
                raise ValueError(f"max_new_tokens is {self.max_new_tokens}; it has to be at least 1")
            if self.answers and self.format == "text":
                raise ValueError("answers are of no use with format=text, where nothing is asked")
            if self.answers and (len(set(self.answers)) < max(2, len(self.answers))):
                raise ValueError(f"answers is {self.answers}; it has to hold two different ones at least")

    @property
    def form(self) -> Format:
        return FORMATS[self.config.format]

    @property
    def columns(self) -> Mapping[str, str]:  # type: ignore[override]
        return self.form.columns

    @property
    def targets(self) -> Sequence[str]:  # type: ignore[override]
        return self.form.targets

    @property
    def primary_score(self) -> str:  # type: ignore[override]
        return "accuracy" if self.config.answers else "perplexity"

    @property
    def higher_is_better(self) -> bool:  # type: ignore[override]
        return bool(self.config.answers)

    @property
    def display_scale(self) -> int:  # type: ignore[override]
        return 100 if self.config.answers else 1

    def row_error(self, row: Row, with_targets: bool) -> str | None:
        return (
            self.form.fault(row)
            or self._unknown_answer(row)
            or (self._no_answer(row) if with_targets else None)
        )

    def _unknown_answer(self, row: Row) -> str | None:
        answer = self.form.answer(row) if self.config.answers else None
        if answer is None or answer in self.config.answers:
            return None
        allowed = ", ".join(map(repr, self.config.answers))
        return f"column '{self.form.answering}' has the answer {answer!r}; head.answers has: {allowed}"

    def _no_answer(self, row: Row) -> str | None:
        if self.form.answer(row) is None:
            return (
                f"column '{self.form.answering}' has no answer at its end, which is what is learnt and scored"
            )
        return None

    def why_incompatible(self, base: BaseInfo) -> str | None:
        if base.kind != "decoder":
            return f"it is an {base.kind}; answers are written by a decoder."
        if self.config.format == "messages" and base.has_tokenizer and not base.tokenizer.chat_template:
            return "its tokenizer has no chat template; use head.format=prompt, or a base model that was made for chats."
        return tokenizer_fault(base)

    def load_model(self, base: BaseInfo, options: LoadOptions) -> PreTrainedModel:
        from transformers import AutoModelForCausalLM

        from tlplug_plugins.heads.generation.generate import set_generation
        from tlplug_plugins.heads.generation.packing import require_separate_rows

        model = load_pretrained(AutoModelForCausalLM, base, options)
        set_generation(model, self._answering(base).stops, max_new_tokens=self.config.max_new_tokens)
        if self.config.packing:
            require_separate_rows(model, base)
        return model

    def _answering(self, base: BaseInfo) -> Answering:
        return Answering(base, self.form, tuple(self.config.answers), self.config.max_new_tokens)

    def encode(self, rows: Rows, base: BaseInfo, training: bool) -> list[dict[str, Any]]:
        answering = self._answering(base)
        write = answering.learnt if training else answering.measured
        features = [
            example.feature(row["id"], part, training)
            for row in rows
            for part, example in enumerate(write(row))
        ]
        if answering.cut:
            log.warning(
                "%d sequences of %d rows are cut to data.max_length=%d: what goes before the last answer, then its end",
                answering.cut,
                len(rows),
                base.max_length,
            )
        return features

    def collate(self, features: Sequence[dict[str, Any]], base: BaseInfo) -> Batch:
        from tlplug_plugins.heads.generation.packing import packed, unpacked

        together = self.config.packing and features[0]["training"]
        return packed(features, base) if together else unpacked(features, base)

    def training_step(self, model: nn.Module, batch: Batch) -> StepOutput:
        from tlplug_plugins.heads.generation.likelihood import mean_loss, token_logits

        return mean_loss(token_logits(model, batch), batch["labels"])

    def predict(self, model: nn.Module, batch: Batch) -> list[dict[str, Any]]:
        from tlplug_plugins.heads.generation.generate import generate
        from tlplug_plugins.heads.generation.likelihood import likelihoods, token_logits

        answered = (batch["labels"] >= 0).any(dim=1)
        measured, prompts = (
            {name: value[which] for name, value in batch.items()} for which in (answered, ~answered)
        )
        outputs = likelihoods(token_logits(model, measured), measured) if answered.any() else []
        if not answered.all():
            written = generate(model, prompts)
            outputs += [
                {"id": row, "part": 0, "written": tokens}
                for row, tokens in zip(prompts["id"].tolist(), written, strict=True)
            ]
        return outputs

    def decode(self, outputs: Sequence[dict[str, Any]], rows: Rows, base: BaseInfo) -> list[dict[str, Any]]:
        parts_of, answering = by_row(outputs), self._answering(base)
        return [answering.prediction(row, parts_of[row["id"]]) for row in rows]

    def scores(self, predictions: Sequence[dict[str, Any]], rows: Rows) -> dict[str, float]:
        scores = {"perplexity": whole_perplexity(predictions)}
        if self.config.answers:
            right = self.example_scores(predictions, rows)
            scores["accuracy"] = sum(right) / len(right)
        return scores

    def example_scores(self, predictions: Sequence[dict[str, Any]], rows: Rows) -> list[float]:
        if not self.config.answers:
            return shares(predictions)
        return [
            float(p["prediction"] == self.form.answer(row)) for p, row in zip(predictions, rows, strict=True)
        ]

    def trivial_predictions(self, train: Rows, rows: Rows, base: BaseInfo) -> list[dict[str, Any]]:
        """Tokens by their share of the training answers' tokens; with `answers`, the commonest answer."""
        predictions = self._answering(base).unigram_predictions(train, rows)
        if not self.config.answers:
            return predictions
        counts = Counter(answer for row in train if (answer := self.form.answer(row)) is not None)
        return [{**each, "prediction": counts.most_common(1)[0][0]} for each in predictions]

    def pipeline_tag(self, base: BaseInfo) -> str:
        return "text-generation"

    def preview_prediction(self, prediction: dict[str, Any], row: Row) -> str | None:
        if not isinstance(prediction["prediction"], str):
            return None
        return line(self.form.last_question(row), prediction["prediction"])
