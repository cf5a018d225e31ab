"""Make rows that a tiny model can learn, for the most common columns."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable
from typing import Any

POSITIVE = ["warm", "tender", "bright", "lovely", "moving", "crisp", "joyful", "witty", "superb", "radiant"]
NEGATIVE = ["leaden", "clumsy", "tedious", "flat", "grim", "stale", "hollow", "messy", "dreary", "limp"]
PLAIN = [
    "the",
    "film",
    "was",
    "and",
    "its",
    "ending",
    "felt",
    "to",
    "me",
    "with",
    "a",
    "plot",
    "scene",
    "actor",
    "score",
    "camera",
]
WORDS = [*PLAIN, *POSITIVE, *NEGATIVE]
LABELS = ("negative", "positive")


def reviews(count: int, seed: int = 0) -> list[dict[str, Any]]:
    """Return texts with two words of their label's list among plain ones, with alternating labels."""
    draw, rows = random.Random(seed), []
    for number in range(count):
        words = draw.sample(PLAIN, draw.randint(3, 8)) + draw.sample((NEGATIVE, POSITIVE)[number % 2], 2)
        draw.shuffle(words)
        rows.append({"id": number, "text": " ".join(words), "label": LABELS[number % 2]})
    return rows


def to_tags(review: dict[str, Any]) -> dict[str, Any]:
    words = review["text"].split()
    tags = ["B-GOOD" if word in POSITIVE else "B-BAD" if word in NEGATIVE else "O" for word in words]
    return {"tokens": words, "tags": tags}


def to_question(review: dict[str, Any]) -> dict[str, Any]:
    text = review["text"]
    answer = next(word for word in text.split() if word not in PLAIN)
    answers = {"text": [answer], "answer_start": [text.index(answer)]}
    return {"context": text, "question": "what was the film", "answers": answers}


def to_chat(review: dict[str, Any]) -> dict[str, Any]:
    turns = {"user": review["text"], "assistant": review["label"]}
    return {"messages": [{"role": role, "content": content} for role, content in turns.items()]}


MAKERS: dict[frozenset[str], Callable[[dict[str, Any]], dict[str, Any]]] = {
    frozenset({"text", "label"}): lambda review: {"text": review["text"], "label": review["label"]},
    frozenset({"tokens", "tags"}): to_tags,
    frozenset({"context", "question", "answers"}): to_question,
    frozenset({"document", "summary"}): lambda r: {"document": r["text"], "summary": r["label"]},
    frozenset({"messages"}): to_chat,
    frozenset({"prompt", "completion"}): lambda r: {"prompt": r["text"], "completion": r["label"]},
    frozenset({"text"}): lambda review: {"text": review["text"]},
}
"""Functions that turn a review into a row with certain columns, by these columns."""


def rows_for(columns: Iterable[str], count: int, seed: int = 0) -> list[dict[str, Any]] | None:
    """Return a number of rows with these columns; None where the kit has none."""
    make = MAKERS.get(frozenset(columns))
    return make and [{"id": review["id"], **make(review)} for review in reviews(count, seed)]
