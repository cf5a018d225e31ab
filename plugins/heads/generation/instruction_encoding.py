"""Encode rows as sequences that a decoder learns from or is evaluated on, and make predictions of its outputs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from typing import Any

from tlplug import BaseInfo, Row, Rows, UsageError
from tlplug_plugins.heads.generation.chat_encoding import Writer
from tlplug_plugins.heads.generation.chat_messages import ends_with_answer, message
from tlplug_plugins.heads.generation.perplexity import Unigram, likelihood_prediction
from tlplug_plugins.heads.generation.row_formats import Format, Text
from tlplug_plugins.heads.generation.token_sequences import Example, text_examples


class Answering:
    """What a base model is given of rows of one format.

    Args:
        answers: all that are allowed, where there are only a few.
        max_new_tokens: room that is left for an answer that is to be written.
    """

    def __init__(self, base: BaseInfo, form: Format, answers: tuple[str, ...], max_new_tokens: int) -> None:
        self.base = base
        self.form = form
        self.answers = answers
        self.max_new_tokens = max_new_tokens
        self.cut = 0
        """Sequences that were too long so far."""

    @cached_property
    def writer(self) -> Writer:
        return Writer(self.base.tokenizer)

    @property
    def stops(self) -> list[int]:
        """Tokens that end an answer."""
        return [self.base.tokenizer.eos_token_id] if isinstance(self.form, Text) else self.writer.stops

    def learnt(self, row: Row) -> list[Example]:
        """Encode a training row, with the assistant's messages to predict; a long text gives several parts.

        Raises:
            UsageError: the assistant says nothing.
        """
        if isinstance(self.form, Text):
            return self._parts(row)
        messages = self.form.messages(row)
        if not any(each["role"] == "assistant" for each in messages):
            raise UsageError(
                f"training row {row['id']} (counted from 0): column '{self.form.answering}' has nothing that the "
                "assistant says, so that there is nothing to learn from it"
            )
        return [self._fitted(self.writer.example(messages))]

    def measured(self, row: Row) -> list[Example]:
        """Encode a row for evaluation: each allowed answer, else the row with its answers, else the prompt."""
        if isinstance(self.form, Text):
            return self._parts(row)
        messages = self.form.messages(row)
        if self.answers:
            prompt = messages[:-1] if ends_with_answer(messages) else messages
            return [
                self._fitted(self.writer.example([*prompt, message("assistant", answer)], last_only=True))
                for answer in self.answers
            ]
        if ends_with_answer(messages):
            return [self._fitted(self.writer.example(messages))]
        return [self._fitted(self.writer.prompt(messages), self._room_to_write())]

    def prediction(self, row: Row, parts: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        """Return the prediction of a row from the outputs of its sequences."""
        if "written" in parts[0]:
            text = self.base.tokenizer.decode(parts[0]["written"], skip_special_tokens=True)
            return {"id": row["id"], "prediction": text.strip()}
        if not self.answers:
            return likelihood_prediction(row["id"], parts)
        best = min(parts, key=lambda part: part["nll"])
        prediction, answer = {"id": row["id"]}, self.form.answer(row)
        if answer is not None:
            prediction = likelihood_prediction(row["id"], [parts[self.answers.index(answer)]])
        return {**prediction, "prediction": self.answers[best["part"]]}

    def unigram_predictions(self, train: Rows, rows: Rows) -> list[dict[str, Any]]:
        """Return the likelihoods of the rows' own answers under a unigram model of the training answers."""
        unigram = Unigram(self._targets(train), len(self.base.tokenizer))
        return [likelihood_prediction(row["id"], [unigram.likelihood(self._targets([row]))]) for row in rows]

    def _targets(self, rows: Iterable[Row]) -> list[int]:
        """Return the tokens to predict of these rows' own answers."""
        return [token for row in rows for example in self._own(row) for token in example.targets]

    def _own(self, row: Row) -> list[Example]:
        if self.answers:
            return [self._fitted(self.writer.example(self.form.messages(row), last_only=True))]
        return self.learnt(row)

    def _parts(self, row: Row) -> list[Example]:
        return next(iter(text_examples([row["text"]], self.base.tokenizer, self.base.max_length)))

    def _fitted(self, example: Example, length: int | None = None) -> Example:
        fitted = example.cut(length or self.base.max_length, self.base.tokenizer.bos_token_id)
        self.cut += fitted is not example
        return fitted

    def _room_to_write(self) -> int:
        room = self.base.max_length - self.max_new_tokens
        if room < 2:
            raise UsageError(
                f"head.max_new_tokens={self.max_new_tokens} leaves no room for what is to be answered in "
                f"data.max_length={self.base.max_length}"
            )
        return room
