"""`rank`: which base model suits a task, before any is fine-tuned."""

from tlplug.rank.story import rank

__all__ = ["rank"]
