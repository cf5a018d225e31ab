"""Windows of a long context, as transformers' example for question answering makes and reads them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

CANDIDATES, LONGEST = 20, 30
"""Starts and ends that are tried of a window, and tokens of an answer."""
Context = dict[int, tuple[int, int]]
"""The tokens of the context in a window -> first character and the one after the last."""
Span = tuple[float, int, int]
"""Score, first character and the one after the last."""


def context_of(encoded: Any, window: int) -> Context:
    places = zip(encoded.sequence_ids(window), encoded["offset_mapping"][window], strict=True)
    return {token: offsets for token, (sequence, offsets) in enumerate(places) if sequence == 1}


def answer_tokens(answers: Mapping[str, Any], context: Context) -> dict[str, int]:
    """Where the first answer stands in a window; at the first token of all where it is not in there."""
    first = answers["answer_start"][0]
    stop = first + len(answers["text"][0])
    begins = [token for token, offsets in context.items() if offsets[0] <= first]
    ends = [token for token, offsets in context.items() if offsets[1] >= stop]
    found = (begins[-1], ends[0]) if begins and ends else (0, 0)
    return {"start_positions": found[0], "end_positions": found[1]}


def spans_of(start: np.ndarray, end: np.ndarray, context: Context) -> list[Span]:
    """The likeliest spans of a window."""
    begins, stops = (np.argsort(-logits)[:CANDIDATES].tolist() for logits in (start, end))
    return [
        (float(start[i] + end[j]), context[i][0], context[j][1])
        for i in begins
        for j in stops
        if i in context and j in context and i <= j < i + LONGEST
    ]


def answer(spans: list[Span], row: Mapping[str, Any]) -> str:
    _, first, stop = max(spans, default=(0.0, 0, 0))
    return str(row["context"][first:stop])
