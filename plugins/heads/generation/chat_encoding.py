"""Encode prompts and answers for a decoder, by the chat template or one after the other."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tlplug_plugins.heads.generation.chat import Chat, Messages
from tlplug_plugins.heads.generation.token_sequences import IGNORED, Example, bos_of

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


class Writer:
    """Messages -> `Example`.

    With a chat template whole chats are written by it. Without one there is one user's message, the prompt, and one
    answer, which is followed by the end-of-sequence token. The two are made into tokens each for itself, so that
    the prompt is of the same tokens whether its answer follows or is to be generated.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase) -> None:
        self.tokenizer = tokenizer
        self.chat = Chat(tokenizer) if tokenizer.chat_template else None

    @property
    def stops(self) -> list[int]:
        """Tokens that end an answer."""
        stops = {self.tokenizer.eos_token_id} - {None}
        if self.chat is not None:
            stops.add(self._ids(self.chat.stop)[-1])
        return sorted(stops)

    def prompt(self, messages: Messages) -> Example:
        """Encode the prompt, none of whose tokens is predicted."""
        if self.chat is not None:
            return Example.of((self._ids(self.chat.written(messages, prompt=True)), False))
        return Example.of((bos_of(self.tokenizer), False), (self._ids(messages[0]["content"]), False))

    def example(self, messages: Messages, last_only: bool = False) -> Example:
        """Encode the chat; the assistant's messages, or only the last one, are predicted."""
        if self.chat is not None:
            return self._chat_example(self.chat, messages, last_only)
        ids = [*self._ids(messages[1]["content"]), self.tokenizer.eos_token_id]
        return Example.of((self.prompt(messages).input_ids, False), (ids, True))

    def _chat_example(self, chat: Chat, messages: Messages, last_only: bool) -> Example:
        text, turns = chat.turns(messages)
        if last_only:
            turns = turns[-1:]
        encoded = self.tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
        by_assistant = [
            any(start <= first < end for start, end in turns) and first < last
            for first, last in encoded["offset_mapping"]
        ]
        ids: list[int] = encoded["input_ids"]
        labels = [token if predicted else IGNORED for token, predicted in zip(ids, by_assistant, strict=True)]
        return Example(ids, [IGNORED, *labels[1:]])

    def _ids(self, text: str) -> list[int]:
        ids: list[int] = self.tokenizer(text, add_special_tokens=False)["input_ids"]
        return ids
