"""Finished runs, gathered into one comparison; or one run's report, written anew."""

from tlplug.gather.story import gather, retell

__all__ = ["gather", "retell"]
