"""Energy that the machine used, where it tells: Intel's and AMD's counters of the processor, NVIDIA's of the GPU."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

POWERCAP = Path("/sys/class/powercap")
"""Where Linux keeps the processor's counters (RAPL); mostly for root's eyes only."""


class EnergyMeter:
    """Joules between `start` and `joules`, of the whole processor and GPU: what else runs there counts too."""

    def __init__(self, powercap: Path = POWERCAP) -> None:
        self.counters = [*processor_counters(powercap), *gpu_counters()]
        self._started: list[float] = []

    def start(self) -> None:
        self._started = [read() for read, _ in self.counters]

    def joules(self) -> float | None:
        """None where the machine does not tell."""
        if not self.counters or not self._started:
            return None
        now = [read() for read, _ in self.counters]
        # A counter that has come to its end begins anew.
        spent = [
            (end - start) % limit
            for end, start, (_, limit) in zip(now, self._started, self.counters, strict=True)
        ]
        return sum(spent)


Counter = tuple[Callable[[], float], float]
"""Reads joules; and where it begins anew."""


def processor_counters(powercap: Path) -> list[Counter]:
    """One a socket; those of its parts are in it."""
    found: list[Counter] = []
    for zone in sorted(powercap.glob("intel-rapl:*")):
        if zone.name.count(":") > 1:
            continue
        try:
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
