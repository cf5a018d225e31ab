"""The order in which examples are seen."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Iterator, Sequence
from functools import cached_property

import numpy as np
import torch
from torch.utils.data import Sampler

WINDOWS = (5, 10, 20, 50, 100)
"""Batches whose examples are sorted by length together. The smallest of these is taken that keeps padding low enough:
the less is sorted, the more it is left to chance who shares a batch with whom, and the less alike they are."""
PADDING = 0.045
"""The share of an epoch's tokens that may be padding."""


class EpochOrder(Sampler[int]):
    """One process's examples of an epoch, the same number on every process; consecutive ones make a batch.

    Training shuffles by (seed, epoch) and nothing else, so that a resumed run, a baseline and another number
    of processes see the same order: process r of w takes every w-th example of it. The examples of a batch are
    of about one length, so that little of it is padding: a window of the shuffled order is sorted by length and cut
    into batches, which are shuffled again. Evaluation takes the longest first.
    Where the examples do not divide evenly the epoch's first ones come again: evaluation drops them by their id.

    Args:
        lengths: tokens of each example.
        batch: examples of a batch over all processes.
    """

    def __init__(
        self,
        lengths: Sequence[int] | np.ndarray,
        seed: int,
        *,
        shuffle: bool,
        batch: int = 1,
        rank: int = 0,
        world: int = 1,
    ) -> None:
        self.lengths = np.asarray(lengths, np.int64)
        self.seed = seed
        self.shuffle = shuffle
        self.batch = batch
        self.rank = rank
        self.world = world
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """The epoch of the next iteration; Lightning calls it."""
        self.epoch = epoch

    def __len__(self) -> int:
        return share(len(self.lengths), self.world)

    def __iter__(self) -> Iterator[int]:
        order = self.order()
        for turn in range(len(self)):
            yield order[(turn * self.world + self.rank) % len(order)]

    def order(self) -> list[int]:
        """All examples of the epoch, those of all processes."""
        if not self.shuffle:
            return self._longest_first(np.arange(len(self.lengths))).tolist()  # type: ignore[no-any-return]
        return self._shuffled(self.epoch, self.window).tolist()  # type: ignore[no-any-return]

    @cached_property
    def window(self) -> int:
        """Batches that are sorted together, the same in every epoch."""
        enough = (w for w in WINDOWS if self._padding(self._shuffled(0, w)) <= PADDING)
        return next(enough, WINDOWS[-1])

    def _shuffled(self, epoch: int, window: int) -> np.ndarray:
        generator = torch.Generator().manual_seed(mixed_seed(self.seed, epoch))
        order = torch.randperm(len(self.lengths), generator=generator).numpy()
        batches, rest = [], order[:0]
        for start in range(0, len(order), self.batch * window):
            part = self._longest_first(order[start : start + self.batch * window])
            if left := len(part) % self.batch:
                # Of one length as well: cut out of the window at some batch's beginning.
                at = int(torch.randint(len(part) // self.batch + 1, (), generator=generator)) * self.batch
                rest, part = part[at : at + left], np.delete(part, np.s_[at : at + left])
            batches.append(part.reshape(-1, self.batch))
        if not batches:
            return rest
        whole = np.concatenate(batches)
        again = torch.randperm(len(whole), generator=generator).numpy()
        # The batch that is not full comes last, or the cut into batches would be another.
        return np.concatenate([whole[again].ravel(), rest])

    def _longest_first(self, indices: np.ndarray) -> np.ndarray:
        return indices[np.argsort(-self.lengths[indices], kind="stable")]

    def padding(self) -> float:
        """The share of an epoch's tokens that is padding, where each batch is as long as its longest example."""
        return self._padding(np.array(self.order()))

    def _padding(self, order: np.ndarray) -> float:
        lengths = self.lengths[order]
        starts = np.arange(0, len(lengths), self.batch)
        if not len(starts):
            return 0.0
        sizes = np.diff(np.append(starts, len(lengths)))
        return float(1 - lengths.sum() / (np.maximum.reduceat(lengths, starts) * sizes).sum())


class Repeated(Sampler[int]):
    """`count` examples of an order in each epoch, one pass after another: a stream beside the task's own examples."""

    def __init__(self, order: EpochOrder, count: int) -> None:
        self.order = order
        self.count = count
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """The epoch of the next iteration; Lightning calls it."""
        self.epoch = epoch

    def __len__(self) -> int:
        return self.count

    def __iter__(self) -> Iterator[int]:
        passes = share(self.count, len(self.order))
        given = 0
        for turn in range(passes):
            self.order.set_epoch(self.epoch * passes + turn)
            for example in itertools.islice(self.order, self.count - given):
                given += 1
                yield example


def share(count: int, parts: int) -> int:
    """The size of the largest part where `count` things are divided evenly."""
    return -(-count // parts)


def mixed_seed(seed: int, epoch: int) -> int:
    """A seed of 64 bits; unlike seed + epoch, no two pairs of small numbers give the same."""
    return int.from_bytes(hashlib.sha256(f"{seed}/{epoch}".encode()).digest()[:8], "big")
