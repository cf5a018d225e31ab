"""Make and read windows of a long context as transformers' example for question answering does."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

CANDIDATES, MAX_ANSWER_TOKENS = 20, 30
"""The number of starts and of ends that are tried in a window, and the longest answer."""
Context = dict[int, tuple[int, int]]
"""A token of the context in a window -> its start and end character."""
Span = tuple[float, int, int]
"""The score, start and end character."""


def context_of(encoded: Any, window: int) -> Context:
    tokens = zip(encoded.sequence_ids(window), encoded["offset_mapping"][window], strict=True)
    return {token: offsets for token, (sequence, offsets) in enumerate(tokens) if sequence == 1}


def answer_tokens(answers: Mapping[str, Any], context: Context) -> dict[str, int]:
    """Return the first answer's position in a window; token 0 if the window does not contain it."""
    start = answers["answer_start"][0]
    end = start + len(answers["text"][0])
    starts = [token for token, offsets in context.items() if offsets[0] <= start]
    ends = [token for token, offsets in context.items() if offsets[1] >= end]
    first, last = (starts[-1], ends[0]) if starts and ends else (0, 0)
    return {"start_positions": first, "end_positions": last}


def spans_of(start: np.ndarray, end: np.ndarray, context: Context) -> list[Span]:
    """Return the most likely spans of a window."""
    starts, ends = (np.argsort(-logits)[:CANDIDATES].tolist() for logits in (start, end))
    return [
        (float(start[i] + end[j]), context[i][0], context[j][1])
        for i in starts
        for j in ends
        if i in context and j in context and i <= j < i + MAX_ANSWER_TOKENS
    ]


def answer(spans: list[Span], row: Mapping[str, Any]) -> str:
    _, start, end = max(spans, default=(0.0, 0, 0))
    return str(row["context"][start:end])
