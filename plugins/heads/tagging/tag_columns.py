"""Read words and their labels from columns, and describe errors in them."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

from tlplug import Rows

OUTSIDE = "O"
"""The label of words that are no part of an entity."""
WORD = re.compile(r"\w+(?:[-'\u2019]\w+)*|[^\w\s]")


def words_of(tokens: list[str] | str) -> list[str]:
    """Return the words of a list, or a text's words, with inner hyphens and apostrophes, and its punctuation marks."""
    return WORD.findall(tokens) if isinstance(tokens, str) else tokens


def ordered_labels(lists: Iterable[Any]) -> tuple[str, ...]:
    """Return the labels in the lists: O first, then integers in their order, names in the alphabet's."""
    unique = {
        tag for tags in lists if isinstance(tags, list) for tag in tags if isinstance(tag, (str, int, float))
    }
    integers = all(isinstance(tag, int) for tag in unique)
    ordered = [str(tag) for tag in sorted(unique)] if integers else sorted({str(tag) for tag in unique})
    return tuple(sorted(ordered, key=lambda tag: tag != OUTSIDE))


def words_fault(tokens: Any) -> str | None:
    """Return what is wrong with the words of a row, in words that follow `column 'tokens'`."""
    if not isinstance(tokens, (list, str)):
        return f"should be a list of words, or a text, but is {tokens!r}"
    words = words_of(tokens)
    if not words:
        return "is empty"
    for place, word in enumerate(words, start=1):
        if not isinstance(word, str) or not word.strip():
            return f"has {word!r} as word {place}"
    return None


def tags_fault(tags: Any, words: int, labels: Sequence[str]) -> str | None:
    """Return what is wrong with the labels of this many words, in words that follow `column 'tags'`."""
    if not isinstance(tags, list):
        return f"should be a list of labels, but is {tags!r}"
    if len(tags) != words:
        return f"has {len(tags)} labels, but column 'tokens' has {words} words"
    for place, tag in enumerate(tags, start=1):
        if str(tag) not in labels:
            return f"has {tag!r} for word {place}, which no training row has; there is: {', '.join(labels)}"
    return None


def commonest_labels(train: Rows) -> tuple[dict[str, str], str]:
    """Return each word's most common label, and the label of other words: O, or else the most common of all."""
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    overall: Counter[str] = Counter()
    for row in train:
        tags = [str(tag) for tag in row["tags"]]
        overall.update(tags)
        for word, tag in zip(words_of(row["tokens"]), tags, strict=True):
            counts[word][tag] += 1
    other = OUTSIDE if OUTSIDE in overall else overall.most_common(1)[0][0]
    return {word: tags.most_common(1)[0][0] for word, tags in counts.items()}, other
