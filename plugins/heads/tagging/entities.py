"""Entities in a row of labels, as seqeval reads them, and their scores."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np


def spans(tags: Sequence[str]) -> list[tuple[str, int, int]]:
    """Type, first and last word of each entity."""
    from seqeval.metrics.sequence_labeling import get_entities

    with warnings.catch_warnings():
        # Labels that are not in IOB form are read too; seqeval warns of each.
        warnings.simplefilter("ignore")
        return get_entities(list(tags))  # type: ignore[no-any-return]


def named_entities(words: Sequence[str], tags: Sequence[str]) -> list[dict[str, Any]]:
    """The entities for a person; `start` and `end` count words, the one at `end` is no part of it.

    A label without a prefix (PER for B-PER) is its own type; seqeval takes its first letter for one.
    """
    return [
        {
            "type": kind if tags[first][1:2] == "-" else tags[first],
            "text": " ".join(words[first : last + 1]),
            "start": first,
            "end": last + 1,
        }
        for kind, first, last in spans(tags)
    ]


def entity_counts(predicted: Sequence[str], real: Sequence[str]) -> tuple[int, int, int]:
    """True positives (same type, same words), predicted and real entities of one row."""
    found, gold = set(spans(predicted)), set(spans(real))
    return len(found & gold), len(found), len(gold)


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
