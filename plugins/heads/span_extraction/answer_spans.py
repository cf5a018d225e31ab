"""Find the spans of a context that may answer a question."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from math import log1p
from typing import TYPE_CHECKING, Any

from tlplug import Rows
from tlplug_plugins.heads.span_extraction.squad_metrics import normalised

if TYPE_CHECKING:
    import torch

SENTENCE_END = re.compile(r"(?<=[.!?])\s+")


def candidates(
    start: torch.Tensor, end: torch.Tensor, offsets: torch.Tensor, longest: int, best: int
) -> list[list[list[float]]]:
    """Return each window's best spans, highest first: [score, first character, character after the last].

    Args:
        start, end: logits, [B, T].
        offsets: characters of each token, [B, T, 2], below 0 outside the context.
        longest: tokens of a span at most.
        best: spans of a window at most.
    """
    from torch.nn.functional import pad

    nowhere, length = float("-inf"), min(longest, start.shape[1])
    outside = offsets[..., 0] < 0
    ends = pad(end.masked_fill(outside, nowhere), (0, length - 1), value=nowhere).unfold(1, length, 1)
    scores = (start.masked_fill(outside, nowhere).unsqueeze(-1) + ends).flatten(1)  # [B, T * length]
    top = scores.topk(min(best, scores.shape[1]))
    first = top.indices // length
    last = (first + top.indices % length).clamp(max=start.shape[1] - 1)
    begins, stops = offsets[..., 0].gather(1, first), offsets[..., 1].gather(1, last)
    return [
        [list(span) for span in zip(*window, strict=True) if span[0] > nowhere]
        for window in zip(top.values.tolist(), begins.tolist(), stops.tolist(), strict=True)
    ]


def best_spans(outputs: Iterable[Mapping[str, Any]], rows: Rows) -> list[tuple[str, float, float]]:
    """`best_span` of each row."""
    windows = defaultdict(list)
    for output in outputs:
        windows[output["id"]].append(output)
    return [best_span(windows[row["id"]], row["context"]) for row in rows]


def best_span(windows: Sequence[Mapping[str, Any]], context: str) -> tuple[str, float, float]:
    """Return the text and score of the best span of all windows, and how much higher no answer scores.

    No answer scores what it does in the window that speaks most against it, the one that may hold the answer. A span of
    white space alone is none; where there is no other, the text is "" with the score of no answer.
    """
    null = min(window["null"] for window in windows)
    spans = sorted((span for window in windows for span in window["candidates"]), key=lambda span: -span[0])
    texts = ((context[begin:stop].strip(), score) for score, begin, stop in spans)
    text, score = next(((text, score) for text, score in texts if text), ("", null))
    return text, score, null - score


def nearest_sentence(question: str, context: str) -> str:
    """Return the sentence that shares most words with the question, without a model.

    A shared word w counts log(1 + 1 / C(w)), C its count in the context: the sliding window of Richardson et al. 2013
    ("MCTest", section 4.1), slid by sentences. The first of several.
    """
    counts = Counter(normalised(context).split())
    question_words = set(normalised(question).split())

    def weight(sentence: str) -> float:
        shared = sorted(question_words & set(normalised(sentence).split()))
        return sum(log1p(1 / counts[word]) for word in shared)

    return max(SENTENCE_END.split(context.strip()), key=weight)
