"""Make tasks that train in a moment, over the tiny base model."""

from __future__ import annotations

from tests.conftest import make_rows
from tlplug.data.datamodule import TransferData
from tlplug.data.features import encode
from tlplug.interfaces.registry import Registry
from tlplug.settings import DataSettings, TrainerSettings
from tlplug.training.fit import Prepared

QUICK = TrainerSettings(max_epochs=1, accelerator="cpu", devices=1, precision="32-true")


def strategy(name, **fields):
    cls = Registry().find("strategy", name).load()
    return cls(cls.Config(**fields))


def prepare(base, seed=3, trainer=QUICK, train=24, batch_size=8, batching="rows"):
    head = Registry().find("head", "classification").load()().with_state({"labels": ["negative", "positive"]})
    rows = {"train": make_rows(train), "validation": make_rows(8, 1), "test": make_rows(11, 2)}
    features = {name: encode(head, split, base, name == "train") for name, split in rows.items()}
    settings = DataSettings(batch_size=batch_size, batching=batching)
    data = TransferData(features, head, base, settings, seed)
    return Prepared(head, base, rows, data, trainer, seed)
