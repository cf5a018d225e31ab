"""Turn the arguments of `compare` into its settings and a checked job for each strategy."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tlplug.commands.command_plan import Command, CommandPlan
from tlplug.config.command_options import typed_settings
from tlplug.config.compose import RUN_DIR, Composer
from tlplug.config.job import Job, settings
from tlplug.errors import UsageError, no_such
from tlplug.interfaces import Strategy


@dataclass
class CompareSettings:
    """Settings of `python -m tlplug compare`, with keys `compare.*`; on its command line the prefix may be omitted."""

    strategies: list[str] = field(default_factory=list)
    """Strategies and presets, from the least invasive to the most: the order in which they are run. conf/compare.yaml has
    the usual ones."""
    seeds: Any = 3
    """The number of seeds, counted from 0, or a list: [3,4,5]. Every strategy is trained with each seed."""
    tune_learning_rate: bool = False
    """Train with several learning rates, and take the one with the best validation score."""
    learning_rate_factors: list[float] = field(default_factory=lambda: [0.3, 1.0, 3.0])
    """Factors by which `tune_learning_rate` multiplies the strategy's own learning rate."""
    target_score: float | None = None
    """Stop at the first strategy whose score reaches this, in the score's own unit (0.85, not 85)."""
    stop_early: bool = True
    """Stop if a strategy gains nothing over the one before it beyond noise; false: run all."""

    def __post_init__(self) -> None:
        if not self.strategies or len(set(self.strategies)) < len(self.strategies):
            raise ValueError(f"strategies is {self.strategies}; it names at least one, and none twice")
        for problem in (self._seeds_problem(), self._factors_problem()):
            if problem:
                raise ValueError(problem)
        if self.target_score is not None and not self.stop_early:
            raise ValueError(
                "target_score=... says where to stop, and stop_early=false not to stop: leave one out"
            )

    def _seeds_problem(self) -> str | None:
        seeds = self.seed_list()
        fine = all(type(seed) is int and seed >= 0 for seed in seeds)
        if fine and seeds and len(set(seeds)) == len(seeds):
            return None
        return f"seeds is {self.seeds}; it is how many (3), or different numbers from 0 on ([0,1,2])"

    def _factors_problem(self) -> str | None:
        factors = self.learning_rate_factors
        if factors and min(factors) > 0 and len(set(factors)) == len(factors):
            return None
        return f"learning_rate_factors is {factors}; it is at least one number above 0, and none twice"

    def seed_list(self) -> list[int]:
        """Return the seeds; a single number n stands for 0 to n - 1."""
        if type(self.seeds) is int:
            return list(range(self.seeds))
        return list(self.seeds) if isinstance(self.seeds, list) else [self.seeds]


FIELD = re.compile(r"\+{0,2}(?:compare\.)?strategy\.([^=]+\.[^=]+=.*)", re.DOTALL)
"""Match the field of one strategy: `strategy.lora.r=16`."""
COMMAND = Command(
    name="compare",
    settings=CompareSettings,
    item="strategy",
    items="strategies",
    fewest=1,
    errors_title="not all of these strategies can be compared:",
    not_here={
        "strategy.": "compare runs several strategies: strategies=[linear_probe,lora], and strategy.lora.r=16 for a field",
        "seed": "compare trains with several seeds: seeds=[3,4,5], or how many: seeds=3",
        "optimizer.learning_rate": "every strategy has a rate that suits it; tune_learning_rate=true tries others around it",
        "transfer.baselines": "compare shows the trivial baseline; others are strategies too: strategies=[scratch,lora]",
        "metric.": "compare goes by the head's primary score; metrics are computed in a run of one strategy",
        "logger.": "compare keeps its figures in compare.json and report.html; loggers are for a run of one strategy",
    },
    left_out=frozenset({"strategy", "seed", RUN_DIR, "metric", "logger"}),
)


@dataclass(frozen=True)
class ComparePlan(CommandPlan):
    """The settings of a comparison, and a job for each strategy."""

    command = COMMAND

    settings: CompareSettings
    fields: Mapping[str, Sequence[str]]
    """Fields set for single strategies: name -> arguments such as `strategy.r=16`."""

    @property
    def strategies(self) -> dict[str, Strategy]:
        return {name: job.strategy for name, job in self.jobs.items()}

    def command_for(self, name: str, rate: float | None) -> str:
        """Return the command line that trains one of the strategies with the first seed."""
        rates = [] if rate is None else [f"optimizer.learning_rate={rate:g}"]
        seed = f"seed={self.settings.seed_list()[0]}"
        return self.command_line(name, [*self.fields.get(name, ()), *rates, seed])


def plan(composer: Composer, words: Sequence[str]) -> ComparePlan:
    """Build the jobs of a comparison.

    Raises:
        UsageError: keys or choices do not exist, or strategies do not fit the head; the message lists all of them.
    """
    fields = [match[1] for match in map(FIELD.fullmatch, words) if match]
    own, shared = COMMAND.split_words([word for word in words if not FIELD.fullmatch(word)])
    chosen = settings(typed_settings(CompareSettings, COMMAND.name, own))
    by_strategy = fields_by_strategy(fields, chosen.strategies)
    jobs = COMMAND.build_jobs(
        composer,
        {
            name: [*shared, f"strategy={name}", *by_strategy.get(name, ()), "transfer.baselines=[]"]
            for name in chosen.strategies
        },
    )
    check_target(chosen, next(iter(jobs.values())))
    return ComparePlan(chosen, jobs, shared, by_strategy)


def fields_by_strategy(fields: Sequence[str], strategies: Sequence[str]) -> dict[str, list[str]]:
    """Return the arguments of each strategy: `lora.r=16` becomes `strategy.r=16` under `lora`.

    Raises:
        UsageError: the comparison has no such strategy.
    """
    by_strategy: dict[str, list[str]] = {}
    for word in fields:
        name = next((name for name in strategies if word.startswith(f"{name}.")), None)
        if name is None:
            unknown = no_such("strategy in this comparison", word.partition(".")[0], strategies)
            raise UsageError(f"'strategy.{word}': {unknown}")
        by_strategy.setdefault(name, []).append("strategy" + word.removeprefix(name))
    return by_strategy


def check_target(chosen: CompareSettings, job: Job) -> None:
    """Raise an error if the target score exceeds 1 for a share, or if tuning lacks validation batches."""
    if chosen.target_score is not None and job.head.display_scale == 100 and chosen.target_score > 1:
        raise UsageError(
            f"target_score={chosen.target_score:g}: {job.head.primary_score} is a share, at most 1; "
            f"say target_score={chosen.target_score / 100:g}"
        )
    if chosen.tune_learning_rate and job.trainer.limit_val_batches == 0:
        raise UsageError(
            "tune_learning_rate=true goes by the validation score, and trainer.limit_val_batches=0 leaves none"
        )
