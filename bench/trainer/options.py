"""Words -> what is to be measured."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from bench.settings import changed
from bench.trainer.measurements import MEASUREMENTS

CURVES, FORGETTING, SECOND = "curves", "forgetting", "second"
PARTS = (*MEASUREMENTS, SECOND, CURVES, FORGETTING)
NEEDS = {SECOND: "sst2", CURVES: "sst2", FORGETTING: "scitldr"}
"""A part -> the measurement whose data and base model it uses."""
SEEDS = (0, 1, 2)


@dataclass(frozen=True)
class Asked:
    """The words of a command line, by their kind."""

    words: Sequence[str]

    @property
    def parts(self) -> list[str]:
        """Those that are named; where none is, all, or all that have one of the strategies."""
        named = [word for word in PARTS if word in self.words]
        return named or [part for part in PARTS if self.strategies_of(part) or not self.strategies]

    @property
    def strategies(self) -> list[str]:
        known = {strategy for part in MEASUREMENTS for strategy in strategies_in(part)}
        return [word for word in self.words if word in known]

    @property
    def changes(self) -> list[str]:
        """Settings as `name=value`."""
        return [word for word in self.words if "=" in word]

    @property
    def seeds(self) -> list[int]:
        return [int(word) for word in self.words if word.isdecimal()]

    def strategies_of(self, part: str) -> list[str]:
        """Those of a measurement that are to be measured."""
        return [name for name in strategies_in(part) if name in self.strategies or not self.strategies]

    def seeds_of(self, part: str) -> Sequence[int]:
        usual = MEASUREMENTS[part].seeds if part in MEASUREMENTS else SEEDS
        return self.seeds or usual

    def fault(self) -> str | None:
        """What is wrong with what was typed."""
        known = {*PARTS, *self.strategies, *self.changes}
        if strange := [word for word in self.words if word not in known and not word.isdecimal()]:
            return f"{', '.join(strange)} is no part, no strategy, no seed and no setting"
        for part in self.parts:
            if self.strategies and not self.strategies_of(part):
                return f"{part} has no {' and no '.join(self.strategies)}"
        try:
            changed(self.changes)
        except ValueError as error:
            return str(error)
        return None


def strategies_in(part: str) -> list[str]:
    return list(MEASUREMENTS[part].strategies) if part in MEASUREMENTS else []
