"""Which rows a split gets: fractions drawn out of train, and limits."""

from __future__ import annotations

import random
from array import array
from collections.abc import Mapping, Sequence

from tlplug.errors import UsageError


def shuffled(count: int, seed: int) -> array[int]:
    """The numbers below `count` in an order that depends on nothing but `count` and `seed`.

    An array, since a list takes four times as much, which counts where the rows themselves are on disk.
    """
    order = array("q", range(count))
    random.Random(seed).shuffle(order)
    return order


def limited(positions: Sequence[int], limit: int | None, seed: int) -> Sequence[int]:
    """At most `limit` of the positions, in their own order; a smaller limit draws a part of a larger."""
    if limit is None or limit >= len(positions):
        return positions
    return [positions[index] for index in sorted(shuffled(len(positions), seed)[:limit])]


def divided(count: int, fractions: Mapping[str, float], seed: int) -> dict[str, array[int]]:
    """Split the positions below `count`: a share for each fraction and the rest for `train`, none twice.

    Raises:
        UsageError: nothing would be left to train on.
    """
    sizes = {name: max(1, round(count * fraction)) for name, fraction in fractions.items()}
    if sum(sizes.values()) >= count:
        told = " and ".join(f"data.splits.{name}={fraction}" for name, fraction in fractions.items())
        raise UsageError(f"{told} leave no row to train on: the training split has {count} rows.")
    order, parts = shuffled(count, seed), {}
    for name, size in sizes.items():
        parts[name], order = _sorted(order[:size]), order[size:]
    return {"train": _sorted(order), **parts}


def _sorted(numbers: array[int]) -> array[int]:
    import numpy as np

    np.frombuffer(numbers, dtype="q").sort()
    return numbers
