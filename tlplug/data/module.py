"""Encoded examples as Lightning wants them."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator, Mapping
from functools import partial

from lightning.pytorch import LightningDataModule
from lightning.pytorch.utilities import CombinedLoader
from torch.utils.data import Sampler

from tlplug.cache import key_of
from tlplug.contracts import BaseInfo, Batch, TaskHead
from tlplug.data.batches import EpochOrder, Repeated, share
from tlplug.data.features import Features
from tlplug.data.loader import Batches
from tlplug.processes import rank, world_size


class TransferData(LightningDataModule):
    """The features of the three splits, batched by the head.

    The loaders divide the examples over the processes themselves: `use_distributed_sampler=False`.
    """

    def __init__(
        self,
        train: Features,
        validation: Features,
        test: Features,
        *,
        head: TaskHead,
        base: BaseInfo,
        batch_size: int,
        seed: int,
        streams: Mapping[str, Features] | None = None,
    ) -> None:
        super().__init__()
        self.features = {"train": train, "validation": validation, "test": test}
        self.streams = dict(streams or {})
        """Unlabelled examples of other domains, which come along with the training batches."""
        self.batch_size = batch_size
        self.seed = seed
        self.eval_examples = head.eval_examples
        self.collate = partial(head.collate, base=base)

    def with_streams(self, names: Iterable[str]) -> TransferData:
        """The same data with these streams alone."""
        chosen = copy.copy(self)
        chosen.streams = {name: self.streams[name] for name in names if name in self.streams}
        return chosen

    def with_seed(self, seed: int) -> TransferData:
        """The same data in another order."""
        chosen = copy.copy(self)
        chosen.seed = seed
        return chosen

    def train_dataloader(self) -> Batches | CombinedLoader:
        """Shuffled anew in every epoch; with streams, batches by name, `main` the task's own."""
        main = self._loader("train", rank=rank(), world=world_size())
        if not self.streams:
            return main
        streams = {name: self._stream(features, len(main)) for name, features in self.streams.items()}
        return CombinedLoader({"main": main, **streams}, "min_size")

    def val_dataloader(self) -> Batches:
        """Longest first, at most `head.eval_examples`; one may come twice where processes have to be even."""
        return self._loader("validation", rank=rank(), world=world_size(), most=self.eval_examples)

    def whole_val_dataloader(self) -> Batches:
        """All of the validation split, for `head.tune`."""
        return self._loader("validation", rank=rank(), world=world_size())

    def test_dataloader(self) -> Batches:
        """Longest first."""
        return self._loader("test", rank=rank(), world=world_size())

    def train_batches(self) -> Iterator[Batch]:
        """The batches of epoch 0, as a single process sees them."""
        return iter(self._loader("train", rank=0, world=1))

    def once(self, split: str) -> Batches:
        """Every feature of a split once, in one process, longest first."""
        features = self.features[split]
        return self._batched(features, self._order(features, False, 0, 1))

    def steps_per_epoch(self, world: int) -> int:
        """Training batches that each of `world` processes gets in an epoch."""
        return share(share(len(self.features["train"]), world), self.batch_size)

    def padding(self, world: int = 1) -> float:
        """The share of the first epoch's tokens that is padding."""
        lengths = self.features["train"].lengths
        return EpochOrder(lengths, self.seed, shuffle=True, batch=self.batch_size * world).padding()

    def digest(self) -> str:
        """SHA-256 of all features, of how they are batched and in which order."""
        keys = {split: features.key for split, features in self.features.items()}
        return key_of({**keys, "batch_size": self.batch_size, "seed": self.seed})

    def _loader(self, split: str, rank: int, world: int, most: int | None = None) -> Batches:
        features = self.features[split] if most is None else self.features[split].of_rows(most)
        return self._batched(features, self._order(features, split == "train", rank, world))

    def _stream(self, features: Features, batches: int) -> Batches:
        """So many batches of a stream, begun anew where it ends."""
        order = self._order(features, True, rank(), world_size())
        return self._batched(features, Repeated(order, batches * self.batch_size))

    def _order(self, features: Features, shuffle: bool, rank: int, world: int) -> EpochOrder:
        batch = self.batch_size * world
        return EpochOrder(features.lengths, self.seed, shuffle=shuffle, batch=batch, rank=rank, world=world)

    def _batched(self, features: Features, order: Sampler[int]) -> Batches:
        return Batches(features, self.batch_size, sampler=order, collate_fn=self.collate)  # type: ignore[arg-type]
