"""Finished runs, gathered into one comparison; or one run's report, written anew."""

from tlplug.gather.found import is_run
from tlplug.gather.story import gather, retell

__all__ = ["gather", "is_run", "retell"]
