"""Check a base model's tokenizer for the heads for generation."""

from __future__ import annotations

from tlplug import BaseInfo


def tokenizer_fault(base: BaseInfo, ending: bool = True) -> str | None:
    """Return a sentence about what the tokenizer lacks; None if it lacks nothing.

    Args:
        ending: texts that are written have to end.
    """
    if not base.has_tokenizer:
        return "it reads no texts."
    if not base.tokenizer.is_fast:
        return "its tokenizer does not tell which characters a token stands for (it is not a fast one)."
    if ending and base.tokenizer.eos_token_id is None:
        return "its tokenizer has no end-of-sequence token, so that no text would ever end."
    return None
