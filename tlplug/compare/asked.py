"""What the strategies of a comparison ask of the data and of the base model, together."""

from __future__ import annotations

from collections.abc import Mapping

from tlplug.contracts import BaseInfo, Strategy, TaskHead


class Asked(Strategy):
    """Stands for all of them while a task is prepared; it adapts nothing."""

    def __init__(self, strategies: Mapping[str, Strategy]) -> None:
        super().__init__()
        self.strategies = strategies
        self.streams = self._union("streams")  # type: ignore[misc]
        self.optional_streams = self._union("optional_streams")  # type: ignore[misc]

    def unfit(self, base: BaseInfo, head: TaskHead) -> str | None:
        """The reasons of all that do not fit."""
        found = {name: strategy.unfit(base, head) for name, strategy in self.strategies.items()}
        reasons = [f"{name}: {reason}" for name, reason in found.items() if reason]
        return " ".join([*reasons, "Leave them out of strategies=[...]."]) if reasons else None

    def _union(self, attribute: str) -> tuple[str, ...]:
        every = (name for strategy in self.strategies.values() for name in getattr(strategy, attribute))
        return tuple(dict.fromkeys(every))
