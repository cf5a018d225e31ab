"""Cut an epoch into batches of about one length."""

from __future__ import annotations

import hashlib
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from functools import cached_property
from itertools import islice
from typing import NamedTuple

import numpy as np
import torch
from torch.utils.data import Sampler


def padded_tokens(lengths: np.ndarray) -> int:
    """Return the tokens of a batch of examples of these lengths, padding included."""
    return int(lengths.max(initial=0)) * len(lengths)


def fixed_size_batches(count: int, size: int, place: int) -> list[int]:
    """Return batch sizes that are equal but for the remainder, a smaller batch at the given place.

    At the end, it would always have the shortest examples.
    """
    sizes = [size] * (count // size)
    if left := count % size:
        sizes.insert(place, left)
    return sizes


def equal_token_batches(lengths: Sequence[int], count: int) -> list[int]:
    """Return the sizes of `count` batches of about equal padded tokens: the largest has as few as possible.

    Args:
        lengths: of the examples, the longest first; at least as many as batches.
    """
    lengths = [max(1, length) for length in lengths]
    most = lengths[0] * len(lengths)
    least = bisect_left(
        range(most), True, lo=lengths[0], key=lambda budget: len(_fill(lengths, budget)) <= count
    )
    sizes = _fill(lengths, least)
    while len(sizes) < count:
        _halve_largest(sizes, lengths)
    return sizes


def _fill(lengths: Sequence[int], budget: int) -> list[int]:
    """Return the sizes of batches of at most `budget` padded tokens, each with as many examples as fit."""
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
"""Numbers of batches whose examples are sorted by length together. The smallest one that keeps padding low is used: the
smaller the window, the more random the batches."""
PADDING = 0.045
"""The largest share of padding among an epoch's tokens."""


class Process(NamedTuple):
    """A process among those that share out each batch."""

    rank: int
    world: int


ALONE = Process(0, 1)


class EpochBatches(Sampler[list[int]]):
    """Yield one process's batches of an epoch, the same number on every process and in every epoch.

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
        process: Process = ALONE,
    ) -> None:
        self.lengths = np.asarray(lengths, np.int64)
        self.seed = seed
        self.shuffle = shuffle
        self.batch = batch
        self.even = even
        self.rank, self.world = process
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Set the epoch of the next iteration; Lightning calls it."""
        self.epoch = epoch

    def __len__(self) -> int:
        return ceil_div(len(self.lengths), self.batch)

    def __iter__(self) -> Iterator[list[int]]:
        for together in self.global_batches():
            own = together[self.rank :: self.world]
            yield (own if len(own) else together[self.rank % len(together)][None]).tolist()

    def global_batches(self) -> list[np.ndarray]:
        """Return the epoch's batches, each with the examples of all processes."""
        if self.shuffle:
            return self._shuffle(self.epoch, self.window)
        if not len(self.lengths):
            return []
        order = self._longest_first(np.arange(len(self.lengths)))
        return split_batches(order, self._sizes(self.lengths[order], len(self) - 1))

    @cached_property
    def window(self) -> int:
        """The number of batches that are sorted together, the same in every epoch."""
        enough = (w for w in WINDOWS if self._padding(self._shuffle(0, w)) <= PADDING)
        return next(enough, WINDOWS[-1])

    def _shuffle(self, epoch: int, window: int) -> list[np.ndarray]:
        generator = torch.Generator().manual_seed(mix_seed(self.seed, epoch))
        order = torch.randperm(len(self.lengths), generator=generator).numpy()
        batches: list[np.ndarray] = []
        for start in range(0, len(order), self.batch * window):
            part = self._longest_first(order[start : start + self.batch * window])
            smaller = int(torch.randint(ceil_div(len(part), self.batch), (), generator=generator))
            batches += split_batches(part, self._sizes(self.lengths[part], smaller))
        return [batches[place] for place in torch.randperm(len(batches), generator=generator).tolist()]

    def _sizes(self, lengths: np.ndarray, smaller: int) -> list[int]:
        """Return the sizes of batches, of the longest examples first; the remainder is the batch at `smaller`.

        The size of an even batch is a multiple of the number of processes.
        """
        if not self.even:
            return fixed_size_batches(len(lengths), self.batch, smaller)
        sizes = equal_token_batches(lengths[:: self.world].tolist(), ceil_div(len(lengths), self.batch))
        return [count * self.world for count in sizes]

    def _longest_first(self, indices: np.ndarray) -> np.ndarray:
        return indices[np.argsort(-self.lengths[indices], kind="stable")]

    def padding(self) -> float:
        """Return the share of padding among an epoch's tokens: each batch is as long as its longest example."""
        return self._padding(self.global_batches())

    def _padding(self, batches: list[np.ndarray]) -> float:
        if not batches:
            return 0.0
        return 1 - int(self.lengths.sum()) / max(
            1, sum(padded_tokens(self.lengths[each]) for each in batches)
        )


class Repeated(Sampler[list[int]]):
    """Yield batches of a stream of other examples beside the task's, one pass over it after another.

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
        """Set the epoch of the next iteration; Lightning calls it."""
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


def split_batches(order: np.ndarray, sizes: list[int]) -> list[np.ndarray]:
    """Split the order into batches; the last one takes the rest."""
    return np.split(order, np.cumsum(sizes)[:-1])


def ceil_div(count: int, parts: int) -> int:
    """Return `count / parts`, rounded up."""
    return -(-count // parts)


def mix_seed(*numbers: int) -> int:
    """Return a seed of 64 bits; unlike seed + epoch, no two pairs of small numbers give the same."""
    return int.from_bytes(hashlib.sha256("/".join(map(str, numbers)).encode()).digest()[:8], "big")
