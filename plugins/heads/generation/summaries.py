"""Encode documents and summaries, with a class for each kind of base model."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from tlplug import BaseInfo
from tlplug_plugins.heads.generation.chat_encoding import Writer
from tlplug_plugins.heads.generation.truncation import fitted, shortened

DOCUMENT = "{document}"


@dataclass
class EncoderDecoderSummaries:
    """The document to the encoder, the summary to the decoder."""

    base: BaseInfo
    prompt: str
    max_summary_tokens: int
    max_new_tokens: int
    cut: int = field(default=0, init=False)
    """Documents that were too long so far."""

    @property
    def stops(self) -> list[int]:
        return [self.base.tokenizer.eos_token_id]

    def encode_document(self, document: str) -> dict[str, Any]:
        """Encode the document, whose summary is to be generated."""
        document = self._fitted(document, self.base.max_length, lambda text: len(self._source(text)))
        return {"input_ids": self._source(document)}

    def answered(self, document: str, summary: str) -> dict[str, Any]:
        """Encode the document with its summary."""
        encoded = self.base.tokenizer(
            text_target=summary, truncation=True, max_length=self.max_summary_tokens
        )
        return {**self.encode_document(document), "labels": encoded["input_ids"]}

    def _source(self, document: str) -> list[int]:
        ids: list[int] = self.base.tokenizer(self.prompt.replace(DOCUMENT, document))["input_ids"]
        return ids

    def _fitted(self, document: str, room: int, length: Any) -> str:
        short = fitted(document, room, length, self.base.tokenizer)
        self.cut += short != document
        return short


class DecoderSummaries(EncoderDecoderSummaries):
    """One sequence: the prompt with the document, and the summary as its answer."""

    @cached_property
    def writer(self) -> Writer:
        return Writer(self.base.tokenizer)

    @property
    def stops(self) -> list[int]:
        return self.writer.stops

    def encode_document(self, document: str) -> dict[str, Any]:
        def ids(text: str) -> list[int]:
            return self.writer.prompt(self._messages(text)).input_ids

        room = self.base.max_length - self.max_new_tokens
        return {"input_ids": ids(self._fitted(document, room, lambda text: len(ids(text))))}

    def answered(self, document: str, summary: str) -> dict[str, Any]:
        # One token is for the end of the summary.
        summary = shortened(summary, self.max_summary_tokens - 1, self.base.tokenizer)

        def length(text: str) -> int:
            return len(self.writer.example(self._messages(text, summary)).input_ids)

        messages = self._messages(self._fitted(document, self.base.max_length, length), summary)
        example = self.writer.example(messages, last_only=True)
        return {"input_ids": example.input_ids, "labels": example.next_labels}

    def _messages(self, document: str, summary: str | None = None) -> list[dict[str, str]]:
        prompt = self.prompt.replace(DOCUMENT, document)
        if self.writer.chat is None and not prompt[-1].isspace():
            # Without a template something has to stand between the document's last word and the summary's first.
            prompt += "\n"
        answer = [] if summary is None else [{"role": "assistant", "content": summary}]
        return [{"role": "user", "content": prompt}, *answer]


def summaries_of(base: BaseInfo, **settings: Any) -> EncoderDecoderSummaries:
    cls = EncoderDecoderSummaries if base.kind == "encoder-decoder" else DecoderSummaries
    return cls(base, **settings)
