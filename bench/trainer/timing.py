"""Time a function."""

from __future__ import annotations

import time
from collections.abc import Callable


def timed(function: Callable[[], object]) -> dict[str, float]:
    """Call the function and return its wall-clock seconds and the CPU seconds of all threads."""
    started, computed = time.perf_counter(), time.process_time()
    function()
    return {
        "train_seconds": time.perf_counter() - started,
        "train_cpu_seconds": time.process_time() - computed,
    }
