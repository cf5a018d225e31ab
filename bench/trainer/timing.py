"""What a piece of work costs this process."""

from __future__ import annotations

import time
from collections.abc import Callable


def spent(work: Callable[[], object]) -> dict[str, float]:
    """Seconds on the clock and of all its threads on processors."""
    started, computed = time.perf_counter(), time.process_time()
    work()
    return {
        "train_seconds": time.perf_counter() - started,
        "train_cpu_seconds": time.process_time() - computed,
    }
