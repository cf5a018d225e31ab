"""What a user types about which jobs a sweep has. The only home of these defaults."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Optional

SAMPLERS = ("tpe", "random")
PRUNERS = ("median", "none")


@dataclass
class SweepSettings:
    """Every combination of the values given."""

    jobs: int = 1
    """How many run at once, or wait in a cluster's queue."""
    resume: bool = False
    """Go on with the sweep of this very command: run what is missing."""

    def __post_init__(self) -> None:
        if self.jobs < 1:
            raise ValueError(f"sweep.jobs is {self.jobs}; it is a number from 1 on")


@dataclass
class OptunaSettings(SweepSettings):
    """Values that Optuna proposes, each from the validation scores of those before."""

    trials: int = 20
    """How many jobs there are, pruned and failed ones among them."""
    seed: int = 0
    """Of what is proposed; not the run's seed."""
    sampler: str = "tpe"
    """`tpe`: near what scored well; `random`: anywhere."""
    startup: int = 10
    """Trials at random before `tpe` begins to learn from them, and before the pruner compares."""
    pruner: str = "median"
    """`median`: stop a trial that is below the median of the earlier ones at the same step; `none`."""
    storage: Optional[str] = None
    """URL of the study's database; null: optuna.db in the sweep's folder."""

    def __post_init__(self) -> None:
        super().__post_init__()
        for name, options in {"sampler": SAMPLERS, "pruner": PRUNERS}.items():
            if getattr(self, name) not in options:
                raise ValueError(
                    f"sweep.{name} is {getattr(self, name)!r}; it is one of: {', '.join(options)}"
                )
        for name in ("trials", "startup"):
            if getattr(self, name) < 1:
                raise ValueError(f"sweep.{name} is {getattr(self, name)}; it is a number from 1 on")
