"""Order models by their metric values and by size."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from tlplug.commands.rank.consensus import Consensus, chosen, consensus, ranks
from tlplug.commands.rank.model_scores import Judged
from tlplug.interfaces import TransferMetric


@dataclass(frozen=True)
class Ranking:
    """The ranks of models by the mean rank over metrics, and by size."""

    models: Sequence[Judged]
    """All models in the order in which the user named them."""
    metrics: Mapping[str, TransferMetric]

    @cached_property
    def sound(self) -> list[Judged]:
        """The models without an error; only these have ranks."""
        return [model for model in self.models if model.error is None]

    @cached_property
    def consensus(self) -> Consensus:
        values = {name: [model.value(name) for model in self.sound] for name in self.metrics}
        return consensus(values, {name: bool(m.higher_is_better) for name, m in self.metrics.items()})

    @cached_property
    def excluded(self) -> dict[str, str]:
        """Metrics that are not counted -> the reason."""
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
        """Model -> its rank by the number of parameters, 1 for the largest."""
        return dict(zip(self._names, ranks([model.parameters for model in self.sound]), strict=True))

    @cached_property
    def ranks(self) -> dict[str, float]:
        """Model -> its rank by the mean rank, 1 for the best; empty if no metric is measured for all models."""
        found = self.consensus.ranks
        return {} if found is None else dict(zip(self._names, found, strict=True))

    @cached_property
    def mean_ranks(self) -> dict[str, float]:
        found = self.consensus.mean_ranks
        return {} if found is None else dict(zip(self._names, found, strict=True))

    @cached_property
    def order(self) -> list[Judged]:
        """The models from the best on, the smaller first of equal ones; by size alone if no metric is counted."""
        by = self.ranks or self.size_ranks
        return sorted(self.sound, key=lambda model: (by[model.candidate.name], model.parameters))

    def to_verify(self, first: int | str) -> list[Judged]:
        """Return the first models of the order (a number, or `all`) and the smallest; none for 0."""
        order = self.order
        count = len(order) if first == "all" else int(first)
        if not count or not order:
            return []
        return [order[at] for at in chosen(range(len(order)), [m.parameters for m in order], count)]

    @property
    def _names(self) -> list[str]:
        return [model.candidate.name for model in self.sound]
