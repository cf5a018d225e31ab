"""Extract entities from labels, and score them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np

PREFIXED = re.compile("([BIMESLUO])(?:-(.*))?")
"""Begin, inside or middle, end or last, single or unit, outside; and the entity's type, where there are several."""
FIRST, LAST = frozenset("BSUO"), frozenset("ESLUO")
"""Prefixes of a word that does not go on with the entity before it, and of one with which an entity ends."""


def spans(tags: Sequence[str]) -> list[tuple[str, int, int]]:
    """Return the type, the first and the last word of each entity.

    A word goes on with the entity of the word before it where the types are equal, the prefix of that word does not
    end the entity, and its own prefix does not begin one. So IOB1, IOB2, IOBES, BMES and BILOU are each read as they are
    defined (Ratinov & Roth 2009), and labels that are wrong in their scheme as the script of CoNLL-2000 reads them. A label
    without such a prefix is a type, and equal neighbours are one entity.
    """
    parts = [prefix_and_type(tag) for tag in tags]
    bounds = {number for number in range(1, len(tags)) if is_apart(parts[number - 1], parts[number])}
    return [
        (parts[first][1], first, end - 1)
        for first, end in pairwise(sorted({0, *bounds, len(tags)}))
        if parts[first][0] != "O"
    ]


def prefix_and_type(tag: str) -> tuple[str, str]:
    match = PREFIXED.fullmatch(tag)
    return (match[1], match[2] or "") if match else ("", tag)


def is_apart(before: tuple[str, str], word: tuple[str, str]) -> bool:
    return before[1] != word[1] or before[0] in LAST or word[0] in FIRST


def named_entities(words: Sequence[str], tags: Sequence[str]) -> list[dict[str, Any]]:
    """Return the entities for a person; `start` and `end` count words, the one at `end` is no part of it."""
    return [
        {
            "type": kind or tags[first],
            "text": " ".join(words[first : last + 1]),
            "start": first,
            "end": last + 1,
        }
        for kind, first, last in spans(tags)
    ]


def entity_counts(predicted: Sequence[str], real: Sequence[str]) -> tuple[int, int, int]:
    """True positives (same type, same words), predicted and real entities of one row."""
    predicted_spans, gold = set(spans(predicted)), set(spans(real))
    return len(predicted_spans & gold), len(predicted_spans), len(gold)


def entity_f1(counts: np.ndarray) -> np.ndarray:
    """2 tp / (predicted + real) of counts [..., 3]; 0 where there are no entities."""
    return share(2 * counts[..., 0], counts[..., 1] + counts[..., 2])


def entity_scores(counts: Sequence[Sequence[int]]) -> dict[str, float]:
    """F1, precision and recall over the entities of all rows; counts [n, 3]."""
    import numpy as np

    total = np.asarray(counts, np.float64).sum(0)
    return {
        "entity_f1": float(entity_f1(total)),
        "entity_precision": float(share(total[0], total[1])),
        "entity_recall": float(share(total[0], total[2])),
    }


def share(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """part / whole, 0 where there is nothing."""
    import numpy as np

    return np.divide(part, whole, out=np.zeros(np.shape(whole)), where=np.asarray(whole) > 0)
