"""Measure the time and memory of one strategy on real batches."""

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
from tlplug.training.fit import Prepared, build_module
from tlplug.training.module import MAIN, TransferModule
from tlplug.training.prefix_cache.check import cacheable_prefix, why_not_cacheable
from tlplug.training.trainer import adjust_for_strategy, build_trainer

TIMES, ENOUGH = 3, 2.0
"""A step is timed at most TIMES times; no further time is taken once the sum reaches ENOUGH seconds."""


@dataclass(frozen=True)
class Timing:
    """Seconds for a batch of median size, and peak memory, the largest batch included."""

    load: float
    step: float
    predict: float
    prefix: float | None
    """Seconds of a batch in the frozen prefix; None if its outputs cannot be cached."""
    memory_mb: float
    trainable: int
    total: int
    processes: int


def timed(task: Prepared, strategy: Strategy, optimizer: OptimizerSettings) -> Timing:
    """Load and adapt the model, train on the largest batch, then time predictions and training steps."""
    trainer = build_trainer(adjust_for_strategy(strategy, task.trainer), (), (), task.base.dtype)
    device, precision = trainer.strategy.root_device, str(trainer.precision)
    data = task.data.with_streams(strategy.extra_data)
    reset_peak(device)
    found: list[TransferModule] = []
    loading = seconds(
        device, lambda: found.append(build_module(task, strategy, optimizer, device, 1).to(device))
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
    """Return the modules whose outputs are cached on disk for all epochs; empty if nothing is trained or cacheable."""
    if not any(parameter.requires_grad for parameter in module.parameters()):
        return ()
    prefix = cacheable_prefix(module)
    if prefix is None or why_not_cacheable(module, prefix, data, "train", precision) is not None:
        return ()
    return prefix.cacheable


@contextmanager
def replaying(chain: Sequence[nn.Module], once: Callable[[], Any]) -> Iterator[None]:
    """Call `once`, then let the modules of `chain` return their outputs of that call, as if read from the cache."""
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
    """An adapted model, and the batches on which it is timed."""

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
        """Train one step on the largest batch, which sets the peak memory and initializes the optimizer's state."""
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
    """Return the median and the largest batch of the first epoch.

    Size is padded tokens times the longest length, as the memory of attention grows with the square of the length.
    """
    lengths, batches = data.features["train"].lengths, data.first_epoch()
    order = np.argsort(
        [padded_tokens(lengths[each]) * int(lengths[each].max()) for each in batches], kind="stable"
    )
    middling, largest = batches[order[len(order) // 2]], batches[order[-1]]
    return collated(data, data.features["train"], middling), collated(data, data.features["train"], largest)


def typical(data: TransferData, features: Features) -> Batch:
    """Return the batch of features whose lengths are around the median."""
    start = max(0, (len(features) - data.batch_size) // 2)
    return collated(
        data, features, np.argsort(features.lengths, kind="stable")[start : start + data.batch_size]
    )


def collated(data: TransferData, features: Features, places: np.ndarray) -> Batch:
    batch: Batch = data.collate(features.__getitems__(places.tolist()))
    return batch


def middling(device: torch.device, act: Callable[[], Any]) -> float:
    """Return the median seconds of up to TIMES calls, as other load on the machine may distort a single one."""
    found = [seconds(device, act)]
    while len(found) < TIMES and sum(found) < ENOUGH:
        found.append(seconds(device, act))
    return median(found)


def seconds(device: torch.device, act: Callable[[], Any]) -> float:
    """Return the wall time of a call, waiting until the device has finished its work."""
    settled(device)
    started = time.perf_counter()
    act()
    settled(device)
    return time.perf_counter() - started


def settled(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
