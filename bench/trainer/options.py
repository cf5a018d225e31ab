"""Parse the command line into the parts, strategies and seeds to measure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from bench.settings import parse_changes
from bench.trainer.measurements import MEASUREMENTS

CURVES, FORGETTING, SECOND = "curves", "forgetting", "second"
PARTS = (*MEASUREMENTS, SECOND, CURVES, FORGETTING)
DATA_OF = {SECOND: "sst2", CURVES: "sst2", FORGETTING: "scitldr"}
"""A part -> the measurement whose data and base model it uses."""
SEEDS = (0, 1, 2)


@dataclass(frozen=True)
class Options:
    """The words of a command line, by their kind."""

    words: Sequence[str]

    @property
    def parts(self) -> list[str]:
        """The parts on the command line; without one, all parts that have any of the strategies."""
        parts = [word for word in PARTS if word in self.words]
        return parts or [part for part in PARTS if self.strategies_of(part) or not self.strategies]

    @property
    def strategies(self) -> list[str]:
        names = {strategy for part in MEASUREMENTS for strategy in strategies_in(part)}
        return [word for word in self.words if word in names]

    @property
    def changes(self) -> list[str]:
        """The settings, as `name=value`."""
        return [word for word in self.words if "=" in word]

    @property
    def seeds(self) -> list[int]:
        return [int(word) for word in self.words if word.isdecimal()]

    def strategies_of(self, part: str) -> list[str]:
        """Return the strategies of a part to measure."""
        return [name for name in strategies_in(part) if name in self.strategies or not self.strategies]

    def seeds_of(self, part: str) -> Sequence[int]:
        defaults = MEASUREMENTS[part].seeds if part in MEASUREMENTS else SEEDS
        return self.seeds or defaults

    def error(self) -> str | None:
        """Return a message about the first error in the command line; None without one."""
        known = {*PARTS, *self.strategies, *self.changes}
        if unknown := [word for word in self.words if word not in known and not word.isdecimal()]:
            return f"{', '.join(unknown)} is no part, no strategy, no seed and no setting"
        for part in self.parts:
            if self.strategies and not self.strategies_of(part):
                return f"{part} has no {' and no '.join(self.strategies)}"
        try:
            parse_changes(self.changes)
        except ValueError as error:
            return str(error)
        return None


def strategies_in(part: str) -> list[str]:
    return list(MEASUREMENTS[part].strategies) if part in MEASUREMENTS else []
