"""Cut an epoch into batches of about one length."""

from __future__ import annotations

import hashlib
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from functools import cached_property
from itertools import islice

import numpy as np
import torch
from torch.utils.data import Sampler


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


WINDOWS = (5, 10, 20, 50, 100)
"""Batches whose examples are sorted by length together. The smallest of these is taken that keeps padding low enough:
the less is sorted, the more it is left to chance who shares a batch with whom, and the less alike they are."""
PADDING = 0.045
"""The share of an epoch's tokens that may be padding."""


class EpochBatches(Sampler[list[int]]):
    """One process's batches of an epoch, the same number on every process and in every epoch.

    Training shuffles by (seed, epoch) and nothing else, so that a resumed run and a baseline see the same batches: process
    r of w takes every w-th example of each. The examples of a batch are of about one length, so that little of it is
    padding: a window of the shuffled order is sorted by length and cut into batches, which are shuffled again.
    Evaluation takes the longest first.
    Where the examples do not divide evenly by the processes, some of one batch come twice: evaluation drops them by id.

    Args:
        lengths: tokens of each example.
        batch: examples of a batch over all processes; a multiple of `world`.
        even: batches are of about equal padded tokens, and `batch` is no more than the mean of their sizes.
    """

    def __init__(
        self,
        lengths: Sequence[int] | np.ndarray,
        seed: int,
        *,
        shuffle: bool,
        batch: int = 1,
        even: bool = False,
        rank: int = 0,
        world: int = 1,
    ) -> None:
        self.lengths = np.asarray(lengths, np.int64)
        self.seed = seed
        self.shuffle = shuffle
        self.batch = batch
        self.even = even
        self.rank = rank
        self.world = world
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """The epoch of the next iteration; Lightning calls it."""
        self.epoch = epoch

    def __len__(self) -> int:
        return share(len(self.lengths), self.batch)

    def __iter__(self) -> Iterator[list[int]]:
        for together in self.whole():
            own = together[self.rank :: self.world]
            yield (own if len(own) else together[self.rank % len(together)][None]).tolist()

    def whole(self) -> list[np.ndarray]:
        """The epoch's batches, each that of all processes."""
        if self.shuffle:
            return self._shuffled(self.epoch, self.window)
        if not len(self.lengths):
            return []
        order = self._longest_first(np.arange(len(self.lengths)))
        return parted(order, self._sizes(self.lengths[order], len(self) - 1))

    @cached_property
    def window(self) -> int:
        """Batches that are sorted together, the same in every epoch."""
        enough = (w for w in WINDOWS if self._padding(self._shuffled(0, w)) <= PADDING)
        return next(enough, WINDOWS[-1])

    def _shuffled(self, epoch: int, window: int) -> list[np.ndarray]:
        generator = torch.Generator().manual_seed(mixed_seed(self.seed, epoch))
        order = torch.randperm(len(self.lengths), generator=generator).numpy()
        batches: list[np.ndarray] = []
        for start in range(0, len(order), self.batch * window):
            part = self._longest_first(order[start : start + self.batch * window])
            smaller = int(torch.randint(share(len(part), self.batch), (), generator=generator))
            batches += parted(part, self._sizes(self.lengths[part], smaller))
        return [batches[place] for place in torch.randperm(len(batches), generator=generator).tolist()]

    def _sizes(self, lengths: np.ndarray, smaller: int) -> list[int]:
        """How many examples each batch takes, of the longest first; what is left over is the batch `smaller`.

        Even batches are cut between as many examples as there are processes, which get one of each such few.
        """
        if not self.even:
            return regular_cut(len(lengths), self.batch, smaller)
        few = even_cut(lengths[:: self.world].tolist(), share(len(lengths), self.batch))
        return [count * self.world for count in few]

    def _longest_first(self, indices: np.ndarray) -> np.ndarray:
        return indices[np.argsort(-self.lengths[indices], kind="stable")]

    def padding(self) -> float:
        """The share of an epoch's tokens that is padding, where each batch is as long as its longest example."""
        return self._padding(self.whole())

    def _padding(self, batches: list[np.ndarray]) -> float:
        if not batches:
            return 0.0
        return 1 - int(self.lengths.sum()) / max(1, sum(padded(self.lengths[each]) for each in batches))


class Repeated(Sampler[list[int]]):
    """So many batches of a stream beside the task's own examples, one pass after another.

    Args:
        size: examples of each batch, also where a pass ends within one.
        count: batches of an epoch.
    """

    def __init__(self, passes: EpochBatches, size: int, count: int) -> None:
        self.passes = passes
        self.seed = passes.seed
        self.size = size
        self.count = count
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """The epoch of the next iteration; Lightning calls it."""
        self.epoch = epoch

    def __len__(self) -> int:
        return self.count

    def __iter__(self) -> Iterator[list[int]]:
        examples = self._examples()
        for _ in range(self.count):
            yield list(islice(examples, self.size))

    def _examples(self) -> Iterator[int]:
        first = self.epoch * self.count * self.size
        for number in range(first, first + self.count * self.size):
            self.passes.set_epoch(number)
            for batch in self.passes:
                yield from batch


def parted(order: np.ndarray, sizes: list[int]) -> list[np.ndarray]:
    """The order cut into batches; the last one takes what there is."""
    return np.split(order, np.cumsum(sizes)[:-1])


def share(count: int, parts: int) -> int:
    """The size of the largest part where `count` things are divided evenly."""
    return -(-count // parts)


def mixed_seed(*numbers: int) -> int:
    """Return a seed of 64 bits; unlike seed + epoch, no two pairs of small numbers give the same."""
    return int.from_bytes(hashlib.sha256("/".join(map(str, numbers)).encode()).digest()[:8], "big")
