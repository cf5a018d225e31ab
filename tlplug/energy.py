"""Energy that the machine used, where it tells: Intel's and AMD's counters of the processor, NVIDIA's of the GPU."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

POWERCAP = Path("/sys/class/powercap")
"""Where Linux keeps the processor's counters (RAPL); mostly for root's eyes only."""


class EnergyMeter:
    """Joules since `start`, of the whole processor and GPU: what else runs there counts too.

    A counter begins anew after some hundred kilojoules, so `tick` has to be called more often than that is spent.
    """

    def __init__(self, powercap: Path = POWERCAP) -> None:
        self.counters = [*processor_counters(powercap), *gpu_counters()]
        self._last: list[float] = []
        self._spent, self._started = 0.0, False

    def start(self) -> None:
        self._last, self._spent, self._started = self._read(), 0.0, True

    def tick(self) -> None:
        """Count what was spent since the last time."""
        now = self._read()
        for end, start, (_, limit) in zip(now, self._last, self.counters, strict=False):
            self._spent += (end - start) % limit
        self._last = now

    def joules(self) -> float | None:
        """None where the machine does not tell."""
        self.tick()
        return self._spent if self._started and self.counters else None

    def _read(self) -> list[float]:
        try:
            return [read() for read, _ in self.counters]
        except OSError:
            self.counters = []  # what is known until then is not the whole
            return []


Counter = tuple[Callable[[], float], float]
"""Reads joules; and where it begins anew."""


def processor_counters(powercap: Path) -> list[Counter]:
    """Of each socket; those of its parts are in it, and that of the whole platform has the sockets in it."""
    found: list[Counter] = []
    for zone in sorted(powercap.glob("intel-rapl:*")):
        try:
            if not (zone / "name").read_text().startswith("package"):
                continue
            limit = microjoules(zone / "max_energy_range_uj")
            microjoules(zone / "energy_uj")
        except OSError:
            continue  # it does not tell everybody
        found.append((partial(microjoules, zone / "energy_uj"), limit))
    return found


def microjoules(file: Path) -> float:
    return int(file.read_text()) / 1e6


def gpu_counters() -> list[Counter]:
    """Of the GPU that trains; where NVIDIA's library is not installed, none."""
    import torch

    if not torch.cuda.is_available():
        return []
    try:
        import pynvml  # type: ignore[import-not-found]

        pynvml.nvmlInit()
        uuid = f"GPU-{torch.cuda.get_device_properties(torch.cuda.current_device()).uuid}"
        handle = pynvml.nvmlDeviceGetHandleByUUID(uuid.encode())
        pynvml.nvmlDeviceGetTotalEnergyConsumption(handle)
    except (ImportError, AttributeError):
        return []
    except pynvml.NVMLError:
        return []  # older GPUs have no such counter
    return [(lambda: pynvml.nvmlDeviceGetTotalEnergyConsumption(handle) / 1e3, float("inf"))]
