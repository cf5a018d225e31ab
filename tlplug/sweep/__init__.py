"""`-m`: many runs, each in a process of its own, on one machine or beyond it."""

from tlplug.sweep.grid import combinations
from tlplug.sweep.story import sweep

__all__ = ["combinations", "sweep"]
