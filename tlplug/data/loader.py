"""Batches of an epoch, from any batch on."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Any

from torch.utils.data import DataLoader


class Batches(DataLoader[Any]):
    """In this process, in the sampler's order; knows how many batches it has handed out, and goes on after them.

    torch's own draws a number from the global generator whenever it is begun, so that dropout after a resume would
    be another one than without it. This one draws nothing.
    """

    _first, _given = 0, 0

    def __iter__(self) -> Iterator[Any]:  # type: ignore[override]
        first, self._first = self._first, 0
        self._given = first
        for places in islice(iter(self.batch_sampler), first, None):  # type: ignore[arg-type]
            self._given += 1
            yield self.collate_fn([self.dataset[place] for place in places])

    def state_dict(self) -> dict[str, int]:
        return {"given": self._given}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """The next pass begins after so many batches; where that is all of them, with the next epoch's first."""
        self._first = state["given"] % len(self)
