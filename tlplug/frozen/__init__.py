"""What runs before anything that moves is computed once for each example, and lies memory-mapped in the cache."""

from tlplug.frozen.check import fault, keepable
from tlplug.frozen.kept import FORM, SPANS, STATES, Kept, Recall
from tlplug.frozen.once import KIND, ComputeOnce, Counting, silent

__all__ = [
    "FORM",
    "KIND",
    "SPANS",
    "STATES",
    "ComputeOnce",
    "Counting",
    "Kept",
    "Recall",
    "fault",
    "keepable",
    "silent",
]
