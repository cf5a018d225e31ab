"""Render chats by a tokenizer's template, with the spans of the assistant's messages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from tlplug import UsageError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

Messages = Sequence[Mapping[str, str]]
"""`role` (system, user, assistant) and `content` of each."""

SAMPLE = ({"role": "user", "content": "Hello"}, {"role": "assistant", "content": "Answer"})


class Chat:
    """The chat template of a tokenizer.

    What the assistant says begins where the messages before it end, written with a generation prompt, and goes up to
    and with the token that the template puts behind it: `stop`, its end of turn.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase) -> None:
        self.tokenizer = tokenizer
        self.stop = self._stop()

    def written(self, messages: Messages, prompt: bool = False) -> str:
        """Render the messages as text; with `prompt`, up to the start of the assistant's next message."""
        from jinja2.exceptions import TemplateError

        try:
            return str(
                self.tokenizer.apply_chat_template(
                    list(messages), tokenize=False, add_generation_prompt=prompt
                )
            )
        except TemplateError as error:
            roles = ", ".join(message["role"] for message in messages)
            raise UsageError(f"the tokenizer's chat template refuses a chat of {roles}: {error}") from error

    def turns(self, messages: Messages) -> tuple[str, list[tuple[int, int]]]:
        """Render the chat, and return the start and end of each assistant message in it.

        Raises:
            UsageError: the template writes messages in another way when later ones follow.
        """
        text = self.written(messages)
        spoken = [place for place, message in enumerate(messages) if message["role"] == "assistant"]
        return text, [self._turn(text, messages[:place], messages[place]["content"]) for place in spoken]

    def _turn(self, text: str, before: Messages, content: str) -> tuple[int, int]:
        prompt = self.written(before, prompt=True)
        start, end = len(prompt), text.find(self.stop, len(prompt)) + len(self.stop)
        if text.startswith(prompt) and content.strip() in text[start:end]:
            return start, end
        raise UsageError(
            "the tokenizer's chat template changes what it wrote of earlier messages when later ones follow, so that "
            "it cannot be told what the assistant says: keep one answer in each row, or give the tokenizer another "
            "template"
        )

    def _stop(self) -> str:
        behind = self.written(SAMPLE).rpartition(SAMPLE[-1]["content"])[2].lstrip()
        encoded = self.tokenizer(behind, add_special_tokens=False, return_offsets_mapping=True)
        ends = [end for start, end in encoded["offset_mapping"] if end > start]
        if not ends:
            raise UsageError("the tokenizer's chat template puts no token behind what the assistant says")
        return behind[: ends[0]]
