"""Batches of an epoch, from any batch on."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import islice
from types import SimpleNamespace
from typing import Any

from torch.utils.data import Sampler

from tlplug.data.features import Features


class Batches:
    """In this process, as the order says; knows how many batches it has handed out, and goes on after them.

    torch's DataLoader draws a number from the global generator whenever it is begun, so that dropout after a resume would
    be another one than without it, and Lightning would take its sampler from it. This one draws nothing.

    Args:
        order: the places of the features of each batch.
    """

    def __init__(
        self, features: Features, order: Sampler[list[int]], collate: Callable[[list[Any]], Any]
    ) -> None:
        self.features = features
        self.order = order
        self.collate = collate
        # Here Lightning looks for whom to tell the epoch.
        self.batch_sampler = SimpleNamespace(sampler=order)
        self._first = self._given = 0

    def __len__(self) -> int:
        return len(self.order)  # type: ignore[arg-type]

    def __iter__(self) -> Iterator[Any]:
        first, self._first = self._first, 0
        self._given = first
        for places in islice(iter(self.order), first, None):
            self._given += 1
            yield self.collate(self.features.__getitems__(places))

    def state_dict(self) -> dict[str, int]:
        return {"given": self._given}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """The next pass begins after so many batches; where that is all of them, with the next epoch's first."""
        self._first = state["given"] % len(self)
