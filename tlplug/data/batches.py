"""The order in which examples are seen."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence

import torch
from torch.utils.data import Sampler


class EpochOrder(Sampler[int]):
    """One process's examples of an epoch, the same number on every process.

    Training shuffles by (seed, epoch) and nothing else, so that a resumed run, a baseline and another number
    of processes see the same order: process r of w takes every w-th example of it. Evaluation takes the
    longest first, so that a batch holds examples of about one length. Where the examples do not divide
    evenly the epoch's first ones come again: evaluation drops them by their id.
    """

    def __init__(
        self, lengths: Sequence[int], seed: int, *, shuffle: bool, rank: int = 0, world: int = 1
    ) -> None:
        self.lengths = lengths
        self.seed = seed
        self.shuffle = shuffle
        self.rank = rank
        self.world = world
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """The epoch of the next iteration; Lightning calls it."""
        self.epoch = epoch

    def __len__(self) -> int:
        return share(len(self.lengths), self.world)

    def __iter__(self) -> Iterator[int]:
        order = self._shuffled() if self.shuffle else self._longest_first()
        for turn in range(len(self)):
            yield order[(turn * self.world + self.rank) % len(order)]

    def _shuffled(self) -> list[int]:
        generator = torch.Generator().manual_seed(mixed_seed(self.seed, self.epoch))
        order: list[int] = torch.randperm(len(self.lengths), generator=generator).tolist()
        return order

    def _longest_first(self) -> list[int]:
        return sorted(range(len(self.lengths)), key=lambda index: -self.lengths[index])


def share(count: int, parts: int) -> int:
    """The size of the largest part where `count` things are divided evenly."""
    return -(-count // parts)


def mixed_seed(seed: int, epoch: int) -> int:
    """A seed of 64 bits; unlike seed + epoch, no two pairs of small numbers give the same."""
    return int.from_bytes(hashlib.sha256(f"{seed}/{epoch}".encode()).digest()[:8], "big")
