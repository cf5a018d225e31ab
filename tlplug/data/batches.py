"""The order in which examples are seen."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch.utils.data import Sampler

WINDOW = 100
"""Batches whose examples are sorted by length together: so many that a batch is of nearly one length, and so few
that who shares a batch with whom still changes from epoch to epoch."""


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
        self.lengths = lengths
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
        return self._shuffled() if self.shuffle else self._longest_first(range(len(self.lengths)))

    def _shuffled(self) -> list[int]:
        generator = torch.Generator().manual_seed(mixed_seed(self.seed, self.epoch))
        order: list[int] = torch.randperm(len(self.lengths), generator=generator).tolist()
        size, batches, rest = self.batch * WINDOW, [], []
        for start in range(0, len(order), size):
            window = self._longest_first(order[start : start + size])
            if left := len(window) % self.batch:
                # Of one length as well: cut out of the window at some batch's beginning.
                at = int(torch.randint(len(window) // self.batch + 1, (), generator=generator)) * self.batch
                rest, window = window[at : at + left], window[:at] + window[at + left :]
            batches += [window[at : at + self.batch] for at in range(0, len(window), self.batch)]
        again = torch.randperm(len(batches), generator=generator).tolist()
        # The batch that is not full comes last, or the cut into batches would be another.
        return [index for number in again for index in batches[number]] + rest

    def _longest_first(self, indices: Sequence[int]) -> list[int]:
        return sorted(indices, key=lambda index: -self.lengths[index])

    def padding(self) -> float:
        """The share of an epoch's tokens that is padding, where each batch is as long as its longest example."""
        real, padded, order = 0, 0, self.order()
        for start in range(0, len(order), self.batch):
            lengths = [int(self.lengths[index]) for index in order[start : start + self.batch]]
            real, padded = real + sum(lengths), padded + len(lengths) * max(lengths)
        return 1 - real / padded if padded else 0.0


def share(count: int, parts: int) -> int:
    """The size of the largest part where `count` things are divided evenly."""
    return -(-count // parts)


def mixed_seed(seed: int, epoch: int) -> int:
    """A seed of 64 bits; unlike seed + epoch, no two pairs of small numbers give the same."""
    return int.from_bytes(hashlib.sha256(f"{seed}/{epoch}".encode()).digest()[:8], "big")
