"""Isolate a check from the terminal and the user's cache."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager

from tlplug.testing import tiny_models as tiny

CACHE = "TLPLUG_CACHE"


@contextmanager
def isolated() -> Iterator[None]:
    """Hide output of libraries, use a separate cache, and use one thread, since tiny models are slower with several."""
    import torch

    from tlplug.runtime.console import quiet_libraries

    threads, before = torch.get_num_threads(), os.environ.get(CACHE)
    torch.set_num_threads(1)
    logging.disable(logging.WARNING)
    os.environ[CACHE] = str(tiny.home() / "cache")
    try:
        with quiet_libraries():
            yield
    finally:
        logging.disable(logging.NOTSET)
        torch.set_num_threads(threads)
        if before is None:
            del os.environ[CACHE]
        else:
            os.environ[CACHE] = before
