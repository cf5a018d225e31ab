"""Load the batches of a split, in this process or in workers."""

from __future__ import annotations

import logging
import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from types import FrameType, SimpleNamespace
from typing import Any

import torch
from torch.utils.data import DataLoader, Dataset

from tlplug.data.batching import EpochBatches, Repeated, mix_seed
from tlplug.data.features import Features

START_METHOD = "fork" if sys.platform == "linux" else None
"""Of workers; None: the platform's own. A forked worker begins at once, and nothing has to be pickled for it."""
TOKENIZER_THREADS = "TOKENIZERS_PARALLELISM"

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class BatchPlan:
    """The features of one batch, and the seed of what `collate` draws for it."""

    places: list[int]
    seed: int


@dataclass(frozen=True)
class WorkerError:
    """Stand in a worker's answer for a batch that it could not make."""

    plan: BatchPlan
    reason: str


class Batches:
    """Yield batches in the order given; count those handed out, and resume after them.

    A batch is the same whichever process makes it: what `collate` draws from torch's generator depends on the seed, the
    epoch and the places of its features. The global generators keep their state. torch's DataLoader draws a number from
    one whenever it begins, and dropout after a resume would be another one.

    Args:
        order: the places of the features of each batch.
        num_workers: `data.num_workers`.
    """

    def __init__(
        self,
        features: Features,
        order: EpochBatches | Repeated,
        collate: Callable[[list[Any]], Any],
        num_workers: int = 0,
    ) -> None:
        self.order = order
        self.maker = BatchMaker(features, collate)
        self.num_workers = num_workers
        # Here Lightning looks for whom to tell the epoch.
        self.batch_sampler = SimpleNamespace(sampler=order)
        self._first = self._given = 0

    def __len__(self) -> int:
        return len(self.order)

    def __iter__(self) -> Iterator[Any]:
        first, self._first = self._first, 0
        self._given = first
        plans = islice(self._plans(), first, None)
        for batch in self._from_workers(plans) if self.num_workers else map(self.maker.make, plans):
            self._given += 1
            yield batch

    def _plans(self) -> Iterator[BatchPlan]:
        seed, epoch = self.order.seed, self.order.epoch
        for places in self.order:
            yield BatchPlan(places, mix_seed(seed, epoch, *places))

    def _from_workers(self, plans: Iterator[BatchPlan]) -> Iterator[Any]:
        """Yield the batches in the order of their plans; what a worker cannot make is made here, where it can raise."""
        loader = DataLoader(
            self.maker,
            batch_size=None,
            sampler=plans,
            num_workers=self.num_workers,
            multiprocessing_context=START_METHOD,
            collate_fn=unchanged,
            worker_init_fn=ignore_signals,
            generator=torch.Generator(),
        )
        with signals_blocked(), single_threaded_tokenizers():
            batches = iter(loader)
        try:
            for batch in batches:
                yield self._unless_failed(batch)
        finally:
            del batches  # ends the workers, also where an exception's traceback still refers to this frame

    def _unless_failed(self, batch: Any) -> Any:
        if not isinstance(batch, WorkerError):
            return batch
        log.warning("a worker cannot make a batch (%s); the main process makes it", batch.reason)
        return self.maker.make(batch.plan)

    def state_dict(self) -> dict[str, int]:
        return {"given": self._given}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Begin the next pass after so many batches; where that is all of them, with the next epoch's first."""
        self._first = state["given"] % len(self)


@dataclass(frozen=True)
class BatchMaker(Dataset[Any]):
    """Make a batch of its plan. What lies here travels to the workers."""

    features: Features
    collate: Callable[[list[Any]], Any]

    def make(self, plan: BatchPlan) -> Any:
        with seeded(plan.seed):
            return self.collate(self.features.__getitems__(plan.places))

    def __getitem__(self, plan: BatchPlan) -> Any:
        """Return the batch, in a worker. An exception would lose its type and its traceback on the way."""
        try:
            return self.make(plan)
        except Exception as error:
            return WorkerError(plan, f"{type(error).__name__}: {error}")


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Seed torch's generator of the processor for a moment."""
    generator = torch.default_generator
    state = generator.get_state()
    generator.manual_seed(seed)
    try:
        yield
    finally:
        generator.set_state(state)


def unchanged(batch: Any) -> Any:
    return batch


@contextmanager
def single_threaded_tokenizers() -> Iterator[None]:
    """Start processes whose tokenizers use one thread each; forked ones would otherwise warn that they do."""
    before = os.environ.get(TOKENIZER_THREADS)
    os.environ[TOKENIZER_THREADS] = "false"
    try:
        yield
    finally:
        if before is None:
            del os.environ[TOKENIZER_THREADS]
        else:
            os.environ[TOKENIZER_THREADS] = before


SIGNALS = (signal.SIGINT, signal.SIGHUP, signal.SIGTERM)


@contextmanager
def signals_blocked() -> Iterator[None]:
    """Start workers that get no signal before they ignore it."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def ignore_signals(worker: int) -> None:
    """Leave it to the main process to end the workers: it may need their batches until it has written a checkpoint.

    Ctrl-C goes to all processes of a terminal, and Slurm sends SIGTERM to all of a job. The second SIGTERM ends a worker.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, end_next_time)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)


def end_next_time(number: int, frame: FrameType | None) -> None:
    signal.signal(number, signal.SIG_DFL)
