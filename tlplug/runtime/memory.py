"""What one training leaves in the process must not count to the next one's memory."""

from __future__ import annotations

import ctypes
import gc
import sys

import torch


def give_back() -> None:
    """Free what nothing refers to, and let the allocators return it: they keep pages that once were in use."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    if sys.platform == "linux":
        # Of glibc; other C libraries have no such function.
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
        if trim is not None:
            trim(0)
