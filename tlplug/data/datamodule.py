"""Give Lightning the encoded examples in batches."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator, Mapping
from functools import partial

import numpy as np
from lightning.pytorch import LightningDataModule
from lightning.pytorch.utilities import CombinedLoader

from tlplug.data.batches import Batches
from tlplug.data.batching import EpochBatches, Process, Repeated, ceil_div
from tlplug.data.features import Features
from tlplug.interfaces import BaseInfo, Batch, TaskHead
from tlplug.runtime.cache import key_of
from tlplug.runtime.distributed import rank, world_size
from tlplug.settings import DataSettings


class TransferData(LightningDataModule):
    """The features of the three splits, batched by the head.

    The loaders divide the examples over the processes themselves: `use_distributed_sampler=False`.

    Args:
        features: by split: train, validation, test.
        settings: the size of batches and the number of workers are taken from them.
    """

    def __init__(
        self,
        features: Mapping[str, Features],
        head: TaskHead,
        base: BaseInfo,
        settings: DataSettings,
        seed: int,
        streams: Mapping[str, Features] | None = None,
    ) -> None:
        super().__init__()
        self.features = dict(features)
        self.streams = dict(streams or {})
        """Unlabelled examples of other domains, of which `batch_size` come along with each training batch."""
        self.batch_size = settings.batch_size
        """Rows of an evaluation's batch, and of a training batch on average, in each process."""
        self.batching = settings.batching
        self.tokens_per_batch = settings.tokens_per_batch
        if self.tokens_per_batch is not None:
            train = self.features["train"]
            rows = round(self.tokens_per_batch / max(1.0, train.lengths.mean()))
            self.batch_size = min(max(1, rows), max(1, len(train)))
        self._windows: dict[tuple[int, int, bool], int] = {}
        self.seed = seed
        self.num_workers = settings.num_workers
        self.max_validation_rows = head.max_validation_rows
        self.collate = partial(head.collate, base=base)

    def with_streams(self, names: Iterable[str]) -> TransferData:
        """Return the same data with only these streams."""
        chosen = copy.copy(self)
        chosen.streams = {name: self.streams[name] for name in names if name in self.streams}
        return chosen

    def with_seed(self, seed: int) -> TransferData:
        """Return the same data in another order."""
        chosen = copy.copy(self)
        chosen.seed = seed
        return chosen

    def train_dataloader(self) -> Batches | CombinedLoader:
        """Return training batches, shuffled in every epoch; with streams, batches by name, `main` the task's own."""
        overfit = self.trainer is not None and self.trainer.overfit_batches > 0  # type: ignore[attr-defined]
        main = self._loader("train", rank=rank(), world=world_size(), shuffle=not overfit)
        if not self.streams:
            return main
        streams = {name: self._stream(features, len(main)) for name, features in self.streams.items()}
        return CombinedLoader({"main": main, **streams}, "min_size")

    def val_dataloader(self) -> Batches:
        """Return at most `head.max_validation_rows`, the longest first; one may occur twice, so that processes are even."""
        return self._loader("validation", rank=rank(), world=world_size(), most=self.max_validation_rows)

    def full_val_dataloader(self) -> Batches:
        """Return the whole validation split, for `head.tune`."""
        return self._loader("validation", rank=rank(), world=world_size())

    def test_dataloader(self) -> Batches:
        """Return the test split, the longest first."""
        return self._loader("test", rank=rank(), world=world_size())

    def train_batches(self) -> Iterator[Batch]:
        """Return the batches of epoch 0, as a single process sees them."""
        order = self._order(self.features["train"], True, 0, 1)
        return iter(Batches(self.features["train"], order, self.collate))

    def single_pass(self, split: str) -> Batches:
        """Return every feature of a split once, in one process, the longest first."""
        features = self.features[split]
        return self._batches(features, self._order(features, False, 0, 1))

    @property
    def even(self) -> bool:
        """Whether training batches are of about equal tokens; with streams as many examples as of those, or nearly."""
        return self.batching == "tokens" and not self.streams

    def steps_per_epoch(self, world: int) -> int:
        """Return the number of training batches of each of `world` processes in an epoch."""
        return ceil_div(len(self.features["train"]), self.batch_size * world)

    def padding(self, world: int = 1) -> float:
        """Return the share of padding among the first epoch's tokens."""
        return self._order(self.features["train"], True, 0, world).padding()

    def describe_batches(self) -> str:
        """Describe the training batches for the preflight."""
        rows = f"batches of {self.batch_size:,} row{'s' if self.batch_size > 1 else ''}"
        if not self.even or (self.features["train"].lengths == 1).all():
            return rows
        tokens: int = self.features["train"].lengths.sum()
        each = tokens / (1 - self.padding()) / max(1, self.steps_per_epoch(1))
        return f"{rows} on average, {each:,.0f} tokens each"

    def suggest_smaller_batch(self) -> str | None:
        """Return the setting for batches of half the size; None where they cannot be smaller."""
        if self.batch_size == 1:
            return None
        if self.tokens_per_batch is not None:
            return f"data.tokens_per_batch={self.tokens_per_batch // 2}"
        return f"data.batch_size={self.batch_size // 2}"

    def first_epoch(self) -> list[np.ndarray]:
        """Return the places of the training features of each batch, as a single process sees them."""
        return self._order(self.features["train"], True, 0, 1).global_batches()

    def digest(self) -> str:
        """Return SHA-256 of all features, their batches and their order."""
        keys = {split: features.key for split, features in self.features.items()}
        return key_of({**keys, "batch_size": self.batch_size, "even": self.even, "seed": self.seed})

    def _loader(
        self, split: str, rank: int, world: int, most: int | None = None, shuffle: bool = False
    ) -> Batches:
        features = self.features[split] if most is None else self.features[split].of_rows(most)
        return self._batches(features, self._order(features, shuffle, rank, world))

    def _batches(self, features: Features, order: EpochBatches | Repeated) -> Batches:
        return Batches(features, order, self.collate, self.num_workers)

    def _stream(self, features: Features, batches: int) -> Batches:
        """Return batches of a stream, which begins again where it ends."""
        order = Repeated(self._order(features, True, rank(), world_size()), self.batch_size, batches)
        return self._batches(features, order)

    def _order(self, features: Features, shuffle: bool, rank: int, world: int) -> EpochBatches:
        even = self.even if shuffle else self.tokens_per_batch is not None
        batch = self.batch_size * world
        order = EpochBatches(
            features.lengths, self.seed, shuffle=shuffle, batch=batch, even=even, process=Process(rank, world)
        )
        if shuffle and features is self.features["train"]:
            self._remember_window(order)
        return order

    def _remember_window(self, order: EpochBatches) -> None:
        """Reuse the window: to find it takes as long as making the batches of several epochs."""
        key = (order.seed, order.batch, order.even)
        if key in self._windows:
            order.window = self._windows[key]
        else:
            self._windows[key] = order.window
