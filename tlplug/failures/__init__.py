"""What a training says that cannot go on: a loss that is no number, memory that is not enough, a plugin that raised."""

from tlplug.failures.memory import BatchSeen, explained
from tlplug.failures.nonfinite import StopOnNonFinite
from tlplug.failures.origin import naming_plugins

__all__ = ["BatchSeen", "StopOnNonFinite", "explained", "naming_plugins"]
