"""One strategy tried on real batches: seconds of its parts, and the memory that they take."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from statistics import median
from typing import Any

import numpy as np
import torch
from torch import nn

from tlplug.data.batching import padded_tokens
from tlplug.data.datamodule import TransferData
from tlplug.data.features import Features
from tlplug.interfaces import Batch, Strategy
from tlplug.models.precision import autocast
from tlplug.settings import OptimizerSettings
from tlplug.training.cost import MEBIBYTE, count, peak_memory, reset_peak
from tlplug.training.fit import Prepared, module_for
from tlplug.training.module import MAIN, TransferModule
from tlplug.training.prefix_cache.check import fault, keepable
from tlplug.training.trainer import build_trainer, settings_for

TIMES, ENOUGH = 3, 2.0
"""A step is timed so often, but for no more than so many seconds."""


@dataclass(frozen=True)
class Timing:
    """Seconds are of middling batches; memory is that of the largest."""

    load: float
    step: float
    predict: float
    prefix: float | None
    """One batch through the frozen prefix, where that runs once for all epochs and seeds."""
    memory_mb: float
    trainable: int
    total: int
    processes: int


def timed(task: Prepared, strategy: Strategy, optimizer: OptimizerSettings) -> Timing:
    """Load and adapt, take a warm and a timed step, predict a batch."""
    trainer = build_trainer(settings_for(strategy, task.trainer), (), (), task.base.dtype)
    device, precision = trainer.strategy.root_device, str(trainer.precision)
    data = task.data.with_streams(strategy.extra_data)
    reset_peak(device)
    found: list[TransferModule] = []
    loading = seconds(
        device, lambda: found.append(module_for(task, strategy, optimizer, device, 1).to(device))
    )
    module = found[0]
    trial = Trial(module, data, precision)
    trial.warm()
    kept = kept_chain(module, data, precision)
    predict, prefix = trial.predict(), None
    if kept:
        with replaying(kept, trial.ask):
            whole, predict = predict, trial.predict()
        prefix = max(0.0, whole - predict)
    with replaying(kept, trial.train):
        step = trial.step()
    return Timing(
        load=loading,
        step=step,
        predict=predict,
        prefix=prefix,
        memory_mb=peak_memory(device) / MEBIBYTE,
        trainable=count(module, trainable=True),
        total=count(module),
        processes=trainer.world_size,
    )


def kept_chain(module: TransferModule, data: TransferData, precision: str) -> Sequence[nn.Module]:
    """The modules whose output is kept on disk for all epochs; none where nothing is trained or cannot be kept."""
    if not any(parameter.requires_grad for parameter in module.parameters()):
        return ()
    prefix = keepable(module)
    if prefix is None or fault(module, prefix, data, "train", precision) is not None:
        return ()
    return prefix.cacheable


@contextmanager
def replaying(chain: Sequence[nn.Module], once: Callable[[], Any]) -> Iterator[None]:
    """While it lasts, the modules of a chain give what they gave in `once` without computing it: as if it were kept."""
    outputs: dict[nn.Module, Any] = {}

    def note(module: nn.Module, _: Any, output: Any) -> None:
        outputs[module] = output

    handles = [module.register_forward_hook(note) for module in chain]
    if chain:
        once()
    for handle in handles:
        handle.remove()
    own = [module.forward for module in chain]
    for module in chain:
        module.forward = partial(given, outputs[module])
    try:
        yield
    finally:
        for module, forward in zip(chain, own, strict=True):
            module.forward = forward


def given(output: Any, *_: Any, **__: Any) -> Any:
    return output


class Trial:
    """An adapted model, and the batches that it is tried on."""

    def __init__(self, module: TransferModule, data: TransferData, precision: str) -> None:
        self.module, self.precision = module, precision
        middling, largest = of_training(data)
        self.batches = self._moved({MAIN: middling})
        self.batches |= self._moved({name: typical(data, found) for name, found in data.streams.items()})
        self.largest = self.batches | self._moved({MAIN: largest})
        self.test = self._moved({MAIN: typical(data, data.features["test"])})[MAIN]
        moves = any(parameter.requires_grad for parameter in module.parameters())
        self.optimizer: Any = module.configure_optimizers()["optimizer"] if moves else None

    def warm(self) -> None:
        """A step on the largest batch, for its memory; what is set up at the first step is set up."""
        if self.optimizer is not None:
            self.train(self.largest)

    def step(self) -> float:
        return middling(self.module.device, self.train) if self.optimizer is not None else 0.0

    def predict(self) -> float:
        self.module.eval()
        took = middling(self.module.device, self.ask)
        self.module.train()
        return took

    def train(self, batches: dict[str, Batch] | None = None) -> None:
        module, chosen = self.module, batches or self.batches
        with autocast(self.precision, module.device):
            loss = module.strategy.training_step(module.model, module.head, chosen).loss
        loss.backward()  # type: ignore[no-untyped-call]
        self.optimizer.step()
        self.optimizer.zero_grad()

    def ask(self) -> None:
        with torch.no_grad(), autocast(self.precision, self.module.device):
            self.module.head.predict(self.module.model, self.test)

    def _moved(self, batches: dict[str, Batch]) -> dict[str, Batch]:
        move = self.module.transfer_batch_to_device
        return {name: move(batch, self.module.device, 0) for name, batch in batches.items()}


def of_training(data: TransferData) -> tuple[Batch, Batch]:
    """Of the first epoch's batches the middling one and the one that takes most memory; attention's grows with the square
    of a text's length."""
    lengths, batches = data.features["train"].lengths, data.first_epoch()
    order = np.argsort(
        [padded_tokens(lengths[each]) * int(lengths[each].max()) for each in batches], kind="stable"
    )
    middling, largest = batches[order[len(order) // 2]], batches[order[-1]]
    return collated(data, data.features["train"], middling), collated(data, data.features["train"], largest)


def typical(data: TransferData, features: Features) -> Batch:
    """The batch of middling length."""
    start = max(0, (len(features) - data.batch_size) // 2)
    return collated(
        data, features, np.argsort(features.lengths, kind="stable")[start : start + data.batch_size]
    )


def collated(data: TransferData, features: Features, places: np.ndarray) -> Batch:
    batch: Batch = data.collate(features.__getitems__(places.tolist()))
    return batch


def middling(device: torch.device, act: Callable[[], Any]) -> float:
    """The median of a few, where they are short: a single one may be what something else on the machine made of it."""
    found = [seconds(device, act)]
    while len(found) < TIMES and sum(found) < ENOUGH:
        found.append(seconds(device, act))
    return median(found)


def seconds(device: torch.device, act: Callable[[], Any]) -> float:
    """Wall time, all that was put on the device done."""
    settled(device)
    started = time.perf_counter()
    act()
    settled(device)
    return time.perf_counter() - started


def settled(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
