"""Measure what a training costs: parameters, seconds, memory, tokens, energy."""

from __future__ import annotations

import logging
import math
import resource
import sys
import time
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import nn

from tlplug.training.module import TransferModule, by_stream

log = logging.getLogger(__name__)

POWERCAP = Path("/sys/class/powercap")
"""The folder of Linux's processor energy counters (RAPL), which often only root can read."""


class EnergyMeter:
    """Measures the joules since `start` of the whole processor and GPU, with all other programs on them.

    A counter wraps around after some hundred kilojoules, so `tick` has to be called more often than that.
    """

    def __init__(self, powercap: Path = POWERCAP) -> None:
        try:
            self.counters = [*processor_counters(powercap), *gpu_counters()]
        except OSError as error:
            warn_of_unmeasured_energy(str(error))
            self.counters = []
        self._last: list[float] = []
        self._spent, self._started = 0.0, False

    def start(self) -> None:
        self._last, self._spent, self._started = self._read(), 0.0, True

    def tick(self) -> None:
        """Add the joules since the last call."""
        now = self._read()
        for end, start, (_, limit) in zip(now, self._last, self.counters, strict=False):
            self._spent += (end - start) % limit
        self._last = now

    def joules(self) -> float | None:
        """Return the joules; None where they cannot be measured."""
        self.tick()
        return self._spent if self._started and self.counters else None

    def _read(self) -> list[float]:
        try:
            return [read() for read, _ in self.counters]
        except OSError:
            self.counters = []  # the sum so far is incomplete
            return []


Counter = tuple[Callable[[], float], float]
"""A function that reads joules, and the value at which they wrap around."""


def processor_counters(powercap: Path) -> list[Counter]:
    """Return the counters of the sockets, without those of their parts and of the whole platform."""
    counters: list[Counter] = []
    for zone in sorted(powercap.glob("intel-rapl:*")):
        try:
            if not (zone / "name").read_text().startswith("package"):
                continue
            limit = microjoules(zone / "max_energy_range_uj")
            microjoules(zone / "energy_uj")
        except OSError:
            continue  # not readable for this user
        counters.append((partial(microjoules, zone / "energy_uj"), limit))
    return counters


def microjoules(file: Path) -> float:
    return int(file.read_text()) / 1e6


def gpu_counters() -> list[Counter]:
    """Return the counter of the GPU that trains; none on a machine without one.

    Raises:
        OSError: NVIDIA's management library cannot read the GPU, or the GPU has no such counter.
    """
    if not torch.cuda.is_available():
        return []
    import pynvml  # type: ignore[import-untyped]

    def joules() -> float:
        try:
            return float(pynvml.nvmlDeviceGetTotalEnergyConsumption(handle)) / 1e3
        except pynvml.NVMLError as error:
            raise OSError(str(error)) from error

    try:
        pynvml.nvmlInit()
        uuid = f"GPU-{torch.cuda.get_device_properties(torch.cuda.current_device()).uuid}"
        handle = pynvml.nvmlDeviceGetHandleByUUID(uuid.encode())
    except pynvml.NVMLError as error:
        raise OSError(str(error)) from error
    joules()
    return [(joules, float("inf"))]


@cache
def warn_of_unmeasured_energy(reason: str) -> None:
    """Log the reason once in a process; a run has several trainings."""
    log.warning("Energy is not measured, because the GPU's counter cannot be read: %s", reason)


MEBIBYTE = 2**20


class CostMeter(Callback):
    """Measures the wall time, processor time, tokens, energy and peak memory of one fit.

    For a resumed fit it adds up the parts, without steps that were computed twice.
    """

    def __init__(self) -> None:
        self.seconds = 0.0
        """Wall time of the whole fit."""
        self.cpu_seconds = 0.0
        """Processor time of all threads of this process."""
        self.tokens: Any = 0
        """Real positions in the training batches; None where the head's batches have no mask."""
        self.joules: float | None = None
        self.energy = EnergyMeter()
        self._started = self._computed = 0.0
        self._before = {"seconds": 0.0, "cpu_seconds": 0.0, "joules": 0.0}

    def state_dict(self) -> dict[str, Any]:
        joules = self._before["joules"] + (self.energy.joules() or 0.0)
        return {
            **self._spent(),
            "joules": joules,
            "tokens": None if self.tokens is None else int(self.tokens),
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.tokens = state_dict["tokens"]
        self._before = {name: state_dict.get(name, 0.0) for name in self._before}

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        reset_peak(pl_module.device)
        self.energy.start()
        self._started, self._computed = time.perf_counter(), time.process_time()

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        # Summed on the batch's device: reading the number at every step would make a GPU wait.
        self.energy.tick()
        assert isinstance(pl_module, TransferModule)
        masks = [pl_module.head.mask(each) for each in by_stream(batch).values()]
        countable = self.tokens is not None and all(mask is not None for mask in masks)
        self.tokens = (
            self.tokens + sum(mask.sum() for mask in masks if mask is not None) if countable else None
        )

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.seconds, self.cpu_seconds = self._spent().values()
        spent = self.energy.joules()
        self.joules = None if spent is None else self._before["joules"] + spent

    def _spent(self) -> dict[str, float]:
        return {
            "seconds": self._before["seconds"] + time.perf_counter() - self._started,
            "cpu_seconds": self._before["cpu_seconds"] + time.process_time() - self._computed,
        }

    def _speed(self) -> dict[str, float]:
        if self.tokens is None:
            return {}
        return {"tokens_per_second": int(self.tokens) / self.seconds if self.seconds else 0.0}

    def cost(self, module: LightningModule) -> dict[str, float]:
        """Return the `cost` record of result.json; counts are those of this process if there are several."""
        return {
            "trainable_parameters": count(module, trainable=True),
            "total_parameters": count(module),
            "seconds": self.seconds,
            "cpu_seconds": self.cpu_seconds,
            "peak_memory_mb": peak_memory(module.device) / MEBIBYTE,
            **self._speed(),
            **({} if self.joules is None else {"energy_joules": self.joules}),
        }


def count(module: nn.Module, trainable: bool = False) -> int:
    """Return the number of parameters; 4-bit tensors, which pack two in a byte, count by their unpacked shape."""
    return sum(
        math.prod(parameter.quant_state.shape) if hasattr(parameter, "quant_state") else parameter.numel()
        for parameter in module.parameters()
        if parameter.requires_grad or not trainable
    )


def reset_peak(device: torch.device) -> None:
    """Reset the peak, so that an earlier fit in this process does not count."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    elif (marker := Path("/proc/self/clear_refs")).exists():
        marker.write_text("5")


def peak_memory(device: torch.device) -> float:
    """Return the peak memory in bytes: allocated on a GPU, else resident in the process."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    status = Path("/proc/self/status")
    if status.exists():
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        return float(line.split()[1]) * 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024.0
