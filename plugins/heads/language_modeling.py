"""Model the language of plain texts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
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
from tlplug_plugins.heads.generation.perplexity import (
    Unigram,
    by_row,
    likelihood_prediction,
    shares,
    whole_perplexity,
)
from tlplug_plugins.heads.generation.token_sequences import text_examples
from tlplug_plugins.heads.generation.tokenizer_checks import tokenizer_fault

if TYPE_CHECKING:
    from torch import nn
    from transformers import PreTrainedModel

    from tlplug_plugins.heads.generation.masking import Masking

OBJECTIVES = {"encoder": "masked", "decoder": "causal"}
"""What a kind of base model was made for."""
KINDS = {"encoder": "an encoder", "decoder": "a decoder"}
MASKED_HEADS = (
    *("cls.predictions.transform", "cls.predictions.dense", "cls.predictions.LayerNorm"),
    *("lm_head.dense", "lm_head.layer_norm", "vocab_transform", "vocab_layer_norm"),
    *("generator_predictions", "predictions.dense", "predictions.LayerNorm", "head.dense", "head.norm"),
    *("lm_predictions.lm_head.dense", "lm_predictions.lm_head.LayerNorm"),
)
"""What transformers has between the trunk and the tied output embedding: BERT, RoBERTa, DistilBERT, ELECTRA, ALBERT,
ModernBERT, DeBERTa and their relatives. Many encoders come without, and theirs is new."""


class LanguageModeling(TaskHead):
    """The texts themselves: pretraining goes on, on texts of one's own.

    Gururangan et al. 2020.

    `causal` (decoders): each token from those before it; logits [B, T, V] against the next tokens [B, T], short rows
    packed together. `masked` (encoders): hidden words from all others (Devlin et al. 2019), others in each epoch, the
    same in each evaluation. The loss is the mean cross entropy. Scored by perplexity, exp(nll / tokens) over all rows,
    and the accuracy of the likeliest token; of `masked` both are over the hidden tokens, a pseudo-perplexity that is
    not to be compared with that of a decoder.
    """

    contract = 1
    columns = {"text": "what is learnt"}
    primary_score = "perplexity"
    higher_is_better = False
    display_scale = 1

    @dataclass
    class Config:
        objective: str = "auto"
        """`causal`, `masked`, or `auto`: what the base model was made for."""
        mask_share: float = 0.15
        """Words that are hidden (masked)."""
        whole_word: bool = True
        """Whether all tokens of a word are hidden together (masked)."""
        packing: bool = True
        """Whether short rows are put together in training, so that little is computed on padding (causal)."""

        def __post_init__(self) -> None:
            objectives = ("auto", *OBJECTIVES.values())
            if self.objective not in objectives:
                raise ValueError(f"objective is {self.objective!r}; it is one of {', '.join(objectives)}")
            if not 0.0 < self.mask_share < 1.0:
                raise ValueError(f"mask_share is {self.mask_share}; it has to be between 0 and 1")

    @property
    def head_modules(self) -> Sequence[str]:  # type: ignore[override]
        return () if self.config.objective == "causal" else MASKED_HEADS

    def row_error(self, row: Row, with_targets: bool) -> str | None:
        return column_fault(row, self.columns)

    def why_incompatible(self, base: BaseInfo) -> str | None:
        if base.kind not in OBJECTIVES:
            return f"it is an {base.kind}; plain texts are learnt by an encoder or a decoder."
        if self.config.objective not in ("auto", OBJECTIVES[base.kind]):
            return (
                f"head.objective={self.config.objective} is not what {KINDS[base.kind]} was made for; "
                f"use {OBJECTIVES[base.kind]}, or auto."
            )
        if not has_model(self._auto(base), base):
            return f"transformers has no language model for {base.config.model_type}."
        if self._masked(base) and base.tokenizer.mask_token_id is None:
            return "its tokenizer has no mask token."
        return tokenizer_fault(base, ending=not self._masked(base))

    def _masked(self, base: BaseInfo) -> bool:
        return OBJECTIVES[base.kind] == "masked"

    def _auto(self, base: BaseInfo) -> Any:
        from transformers import AutoModelForCausalLM, AutoModelForMaskedLM

        return AutoModelForMaskedLM if self._masked(base) else AutoModelForCausalLM

    def load_model(self, base: BaseInfo, options: LoadOptions) -> PreTrainedModel:
        model = load_pretrained(self._auto(base), base, options)
        if self.config.packing and not self._masked(base):
            from tlplug_plugins.heads.generation.packing import require_separate_rows

            require_separate_rows(model, base)
        return model

    def encode(self, rows: Rows, base: BaseInfo, training: bool) -> list[dict[str, Any]]:
        if self._masked(base):
            return list(self._masked_features(rows, base, training))
        parts = text_examples([row["text"] for row in rows], base.tokenizer, base.max_length)
        return [
            example.feature(row["id"], part, training)
            for row, examples in zip(rows, parts, strict=True)
            for part, example in enumerate(examples)
        ]

    def _masked_features(self, rows: Rows, base: BaseInfo, training: bool) -> Iterator[dict[str, Any]]:
        from tlplug_plugins.heads.generation.masking import generator_of, text_parts

        texts, masking = [row["text"] for row in rows], self._masking(base)
        for place, part, ids, words in text_parts(texts, base, self.config.whole_word):
            feature = {"id": rows[place]["id"], "part": part, "attention_mask": [1] * len(ids)}
            if training:
                yield {**feature, "input_ids": ids, "words": words}
            else:
                hidden = masking(ids, words, generator_of(feature["id"], part))
                yield {**feature, "input_ids": hidden.input_ids, "labels": hidden.labels}

    def _masking(self, base: BaseInfo) -> Masking:
        from tlplug_plugins.heads.generation.masking import Masking

        return Masking(self.config.mask_share, base.tokenizer.mask_token_id, len(base.tokenizer))

    def collate(self, features: Sequence[dict[str, Any]], base: BaseInfo) -> Batch:
        from tlplug_plugins.heads.generation.packing import packed, unpacked

        if "words" in features[0]:
            masking = self._masking(base)
            hidden = [masking(feature["input_ids"], feature["words"]) for feature in features]
            features = [
                {**feature, "input_ids": each.input_ids, "labels": each.labels}
                for feature, each in zip(features, hidden, strict=True)
            ]
        together = self.config.packing and features[0].get("training", False)
        return packed(features, base) if together else unpacked(features, base)

    def training_step(self, model: nn.Module, batch: Batch) -> StepOutput:
        from tlplug_plugins.heads.generation.likelihood import mean_loss, token_logits

        return mean_loss(token_logits(model, batch), batch["labels"])

    def predict(self, model: nn.Module, batch: Batch) -> list[dict[str, Any]]:
        from tlplug_plugins.heads.generation.likelihood import likelihoods, token_logits

        return likelihoods(token_logits(model, batch), batch)

    def decode(self, outputs: Sequence[dict[str, Any]], rows: Rows, base: BaseInfo) -> list[dict[str, Any]]:
        return [likelihood_prediction(identity, parts) for identity, parts in by_row(outputs).items()]

    def scores(self, predictions: Sequence[dict[str, Any]], rows: Rows) -> dict[str, float]:
        right, tokens = (sum(p[name] for p in predictions) for name in ("right", "tokens"))
        return {"perplexity": whole_perplexity(predictions), "accuracy": right / tokens}

    def example_scores(self, predictions: Sequence[dict[str, Any]], rows: Rows) -> list[float]:
        return shares(predictions)

    def pipeline_tag(self, base: BaseInfo) -> str:
        return "fill-mask" if self._masked(base) else "text-generation"

    def trivial_predictions(self, train: Rows, rows: Rows, base: BaseInfo) -> list[dict[str, Any]]:
        """Tokens by their share of the training rows' tokens."""
        targets = (token for feature in self.encode(train, base, True) for token in self._targets(feature))
        unigram = Unigram(targets, len(base.tokenizer))
        outputs = [
            {"id": feature["id"], **unigram.likelihood(self._targets(feature))}
            for feature in self.encode(rows, base, False)
        ]
        return self.decode(outputs, rows, base)

    def _targets(self, feature: dict[str, Any]) -> list[int]:
        """Return the tokens to predict; all words' tokens of a text that is not masked yet."""
        if "words" in feature:
            return [
                token for token, word in zip(feature["input_ids"], feature["words"], strict=True) if word >= 0
            ]
        return [label for label in feature["labels"] if label >= 0]
