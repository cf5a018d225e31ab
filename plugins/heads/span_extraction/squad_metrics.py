"""Normalize and score answers by the rules of SQuAD's official scripts.

Rajpurkar et al. 2016, "SQuAD: 100,000+ questions for machine comprehension of text"; Rajpurkar et al. 2018, "Know what
you don't know: unanswerable questions for SQuAD", for questions whose answer is "".
"""

from __future__ import annotations

import re
import string
from collections import Counter
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np

ARTICLES = re.compile(r"\b(?:a|an|the)\b")
NO_PUNCTUATION = str.maketrans("", "", string.punctuation)
TIE = 1e-9
"""Sums of F1 that differ by less are the same but for rounding."""


def normalised(text: str) -> str:
    """Lower case, then without ASCII punctuation, then without articles, single spaces between what is left."""
    bare = text.lower().translate(NO_PUNCTUATION)
    return " ".join(ARTICLES.sub(" ", bare).split())


def exact_match(prediction: str, gold: str) -> float:
    """1 where the two are the same but for case, punctuation, articles and spaces, else 0."""
    return float(normalised(prediction) == normalised(gold))


def token_f1(prediction: str, gold: str) -> float:
    """2 c / (p + g): c words in common, each as often as both have it, of p predicted and g gold words.

    Where either side has no words, 1 if both have none, else 0.
    """
    predicted, real = normalised(prediction).split(), normalised(gold).split()
    if not predicted or not real:
        return float(predicted == real)
    common = (Counter(predicted) & Counter(real)).total()
    return 2 * common / (len(predicted) + len(real))


def golds(texts: Sequence[str], unanswerable: bool) -> list[str]:
    """Return the answers that a prediction may match.

    Where questions may have no answer, those of which normalisation leaves nothing do not count, and "" is the answer
    where none is left.
    """
    if not unanswerable:
        return list(texts)
    return [text for text in texts if normalised(text)] or [""]


def best_of(score: Callable[[str, str], float], prediction: str, gold: Sequence[str]) -> float:
    """Return the highest score against any of the answers."""
    return max(score(prediction, text) for text in gold)


def best_threshold(
    differences: Sequence[float], answered: Sequence[float], unanswered: Sequence[float]
) -> float:
    """Return the null threshold with the highest mean score; of several the one nearest zero.

    All thresholds between two neighbouring differences decide alike, so that their midpoint stands for them; below the
    lowest every row is unanswered, above the highest none.

    Args:
        differences: null score minus answer score of each row, [n]; where it is above the threshold the answer is "".
        answered, unanswered: what each row scores with its answer and with "", [n].
    """
    import numpy as np

    order = np.argsort(np.asarray(differences, np.float64), kind="stable")
    ordered = np.asarray(differences, np.float64)[order]
    # The first k rows keep their answer, the rest do not: k = 0 ... n.
    gained = np.concatenate([[0.0], np.cumsum(np.asarray(answered, np.float64)[order])])
    lost = np.concatenate([np.cumsum(np.asarray(unanswered, np.float64)[order][::-1])[::-1], [0.0]])
    totals, thresholds = gained + lost, midpoints(ordered)
    # Between two equal differences there is no threshold.
    apart = np.concatenate([[True], np.diff(ordered) > 0, [True]])
    tied = thresholds[apart & (totals >= totals[apart].max() - TIE)]
    return float(tied[np.abs(tied).argmin()])


def midpoints(ascending: np.ndarray) -> np.ndarray:
    """Thresholds below, between and above n ascending values, [n + 1]; the outer two as near zero as 1 away allows."""
    import numpy as np

    low, high = ascending[:-1], ascending[1:]
    middle = (low + high) / 2
    below, above = min(0.0, ascending[0] - 1.0), max(0.0, ascending[-1] + 1.0)
    # The middle of two neighbouring floats may be the upper one, which is no threshold between them; the lower is.
    return np.concatenate([[below], np.where(middle < high, middle, low), [above]])


def answers_fault(answers: Any, context: str, unanswerable: bool) -> str | None:
    """Return what is wrong with the answers to a question, in words that follow `column 'answers'`."""
    if not isinstance(answers, dict) or not all(
        isinstance(answers.get(name), list) for name in ("text", "answer_start")
    ):
        return f'should be {{"text": [...], "answer_start": [...]}}, but is {answers!r}'
    texts, starts = answers["text"], answers["answer_start"]
    if len(texts) != len(starts):
        return f"has {len(texts)} in text, but {len(starts)} in answer_start"
    if not texts and not unanswerable:
        return "has no answer; where questions may have none, set head.unanswerable=true"
    faults = (answer_fault(text, start, context) for text, start in zip(texts, starts, strict=True))
    return next((fault for fault in faults if fault), None)


def answer_fault(text: Any, start: Any, context: str) -> str | None:
    if not isinstance(text, str) or not isinstance(start, int):
        return f"should have texts and whole numbers, but has {text!r} at {start!r}"
    if not text.strip():
        return f"has an empty text at {start}"
    there = context[start : start + len(text)] if start >= 0 else ""
    if there != text:
        return f"has {text!r} at {start}, where the context has {there!r}"
    return None
