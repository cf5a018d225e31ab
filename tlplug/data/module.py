"""Encoded examples as Lightning wants them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any

from lightning.pytorch import LightningDataModule
from torch.utils.data import DataLoader

from tlplug.contracts import BaseInfo, Batch, TaskHead
from tlplug.data.batches import EpochOrder, share
from tlplug.processes import rank, world_size

Features = Sequence[Mapping[str, Any]]


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
    ) -> None:
        super().__init__()
        self.features = {"train": train, "validation": validation, "test": test}
        self.batch_size = batch_size
        self.seed = seed
        self.collate = partial(head.collate, base=base)

    def train_dataloader(self) -> DataLoader[Any]:
        """Shuffled anew in every epoch."""
        return self._loader("train", rank=rank(), world=world_size())

    def val_dataloader(self) -> DataLoader[Any]:
        """Longest first; an example may come twice where processes have to be even."""
        return self._loader("validation", rank=rank(), world=world_size())

    def test_dataloader(self) -> DataLoader[Any]:
        """Like `val_dataloader`."""
        return self._loader("test", rank=rank(), world=world_size())

    def train_batches(self) -> Iterator[Batch]:
        """The batches of epoch 0, as a single process sees them."""
        return iter(self._loader("train", rank=0, world=1))

    def steps_per_epoch(self, world: int) -> int:
        """Training batches that each of `world` processes gets in an epoch."""
        return share(share(len(self.features["train"]), world), self.batch_size)

    def digest(self) -> str:
        """SHA-256 of all features, of how they are batched and in which order."""
        found = hashlib.sha256(repr((self.batch_size, self.seed)).encode())
        for split, features in self.features.items():
            found.update(split.encode())
            for feature in features:
                found.update(repr(sorted(feature.items())).encode())
        return found.hexdigest()

    def _loader(self, split: str, rank: int, world: int) -> DataLoader[Any]:
        features = self.features[split]
        lengths = [len(feature["input_ids"]) for feature in features]
        order = EpochOrder(lengths, self.seed, shuffle=split == "train", rank=rank, world=world)
        return DataLoader(features, self.batch_size, sampler=order, collate_fn=self.collate)  # type: ignore[arg-type]
