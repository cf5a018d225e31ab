"""The models that were looked at, in an order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from tlplug.commands.rank.consensus import Consensus, chosen, consensus, ranks
from tlplug.commands.rank.model_scores import Judged
from tlplug.interfaces import TransferMetric


@dataclass(frozen=True)
class Ranking:
    """By the mean rank over metrics, and by size beside it."""

    models: Sequence[Judged]
    """All of them, in the order in which they were typed."""
    metrics: Mapping[str, TransferMetric]

    @cached_property
    def sound(self) -> list[Judged]:
        """Those that could be looked at: the only ones that have ranks."""
        return [model for model in self.models if model.error is None]

    @cached_property
    def consensus(self) -> Consensus:
        values = {name: [model.value(name) for model in self.sound] for name in self.metrics}
        return consensus(values, {name: bool(m.higher_is_better) for name, m in self.metrics.items()})

    @cached_property
    def excluded(self) -> dict[str, str]:
        """The metrics that do not count -> why."""
        found = {}
        for name in self.metrics:
            if name in self.consensus.by_metric or not self.sound:
                continue
            without = [model for model in self.sound if model.value(name) is None]
            measured = len(self.sound) - len(without)
            told = f"measured for {measured or 'none'} of {len(self.sound)} models"
            found[name] = told if measured else f"{told} ({without[0].why_not(name)})"
        return found

    @cached_property
    def size_ranks(self) -> dict[str, float]:
        """1 for the largest."""
        return dict(zip(self._names, ranks([model.parameters for model in self.sound]), strict=True))

    @cached_property
    def ranks(self) -> dict[str, float]:
        """By the mean rank, 1 for the best; empty where no metric was measured for all."""
        found = self.consensus.ranks
        return {} if found is None else dict(zip(self._names, found, strict=True))

    @cached_property
    def mean_ranks(self) -> dict[str, float]:
        found = self.consensus.mean_ranks
        return {} if found is None else dict(zip(self._names, found, strict=True))

    @cached_property
    def order(self) -> list[Judged]:
        """The best first, the smaller first of equal ones; by size where no metric counts."""
        by = self.ranks or self.size_ranks
        return sorted(self.sound, key=lambda model: (by[model.candidate.name], model.parameters))

    def to_verify(self, first: int | str) -> list[Judged]:
        """The first so many, or `all`, and the smallest."""
        order = self.order
        count = len(order) if first == "all" else int(first)
        if not count or not order:
            return []
        return [order[at] for at in chosen(range(len(order)), [m.parameters for m in order], count)]

    @property
    def _names(self) -> list[str]:
        return [model.candidate.name for model in self.sound]
