"""Truncate texts to a number of tokens, or to a line."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from tlplug import UsageError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

SHOWN = 40
"""Characters of what was asked in a line."""


def count_tokens(text: str, tokenizer: PreTrainedTokenizerBase) -> int:
    return len(tokenizer(text, add_special_tokens=False)["input_ids"])


def shortened(text: str, tokens: int, tokenizer: PreTrainedTokenizerBase) -> str:
    """Truncate the text to this many tokens."""
    offsets = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)["offset_mapping"]
    # Up to where the first token begins that is too many: several tokens can share a character.
    return text if len(offsets) <= tokens else text[: offsets[tokens][0]].rstrip()


def fitted(text: str, room: int, length: Callable[[str], int], tokenizer: PreTrainedTokenizerBase) -> str:
    """Truncate the text so that its `length`, with all that surrounds it, is at most `room` tokens.

    Raises:
        UsageError: what is put around it needs all the room.
    """
    while (excess := length(text) - room) > 0:
        left = count_tokens(text, tokenizer) - excess
        if left < 1:
            raise UsageError(
                f"data.max_length leaves no room for the document: {room} tokens are there for it and for what "
                "stands around it (head.prompt, the chat template); ask for fewer tokens of summary "
                "(head.max_new_tokens, head.max_summary_tokens) or raise data.max_length"
            )
        text = shortened(text, left, tokenizer)
    return text


def line(prompt: str, answer: str) -> str:
    """Return a preview of a prompt, truncated, and its answer."""
    prompt, answer = " ".join(prompt.split()), " ".join(answer.split())
    return f"{prompt[:SHOWN]}… -> {answer}" if len(prompt) > SHOWN else f"{prompt} -> {answer}"
