"""Examples that are sorted by length, cut into batches."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence

import numpy as np


def padded(lengths: np.ndarray) -> int:
    """Tokens of a batch of examples of these lengths, padding included."""
    return int(lengths.max(initial=0)) * len(lengths)


def regular_cut(count: int, size: int, place: int) -> list[int]:
    """Batches of one size; what is left over is a smaller one, at the given place.

    The last would always have the shortest examples.
    """
    sizes = [size] * (count // size)
    if left := count % size:
        sizes.insert(place, left)
    return sizes


def even_cut(lengths: Sequence[int], count: int) -> list[int]:
    """The sizes of so many batches whose padded tokens are about equal: the largest has as few as can be.

    Args:
        lengths: of the examples, the longest first; at least as many as batches.
    """
    lengths = [max(1, length) for length in lengths]
    most = lengths[0] * len(lengths)
    least = bisect_left(
        range(most), True, lo=lengths[0], key=lambda budget: len(_filled(lengths, budget)) <= count
    )
    sizes = _filled(lengths, least)
    while len(sizes) < count:
        _halve_largest(sizes, lengths)
    return sizes


def _filled(lengths: Sequence[int], budget: int) -> list[int]:
    """The sizes of batches of at most so many padded tokens, each of as many examples as it can take."""
    sizes, at = [], 0
    while at < len(lengths):
        sizes.append(min(budget // lengths[at], len(lengths) - at))
        at += sizes[-1]
    return sizes


def _halve_largest(sizes: list[int], lengths: Sequence[int]) -> None:
    starts = np.cumsum([0, *sizes[:-1]])
    tokens = [
        size * lengths[start] if size > 1 else 0 for size, start in zip(sizes, starts.tolist(), strict=True)
    ]
    largest = int(np.argmax(tokens))
    half = sizes[largest] // 2
    sizes[largest : largest + 1] = [sizes[largest] - half, half]
