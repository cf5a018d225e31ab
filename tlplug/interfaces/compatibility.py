"""Whether a strategy, a head and a base model go together: asked before any weights are loaded."""

from __future__ import annotations

from tlplug.interfaces.head import TaskHead
from tlplug.interfaces.strategy import Strategy
from tlplug.interfaces.types import BaseInfo


def with_head(strategy: Strategy, head_name: str, head: TaskHead) -> str | None:
    """Why the strategy does not work with the head, whatever the base model; one sentence, None where it does."""
    can = strategy.capabilities
    if can.heads is not None and head_name not in can.heads:
        return f"it works with: {', '.join(sorted(can.heads))}."
    if not can.trains and head.head_modules:
        return "the head adds modules that have to be trained."
    return None


def on_base(strategy: Strategy, head_name: str, head: TaskHead, base: BaseInfo) -> str | None:
    """Why the three do not go together; one sentence, None where they do."""
    return (
        head.why_incompatible(base)
        or with_head(strategy, head_name, head)
        or strategy.why_incompatible(base, head)
    )
