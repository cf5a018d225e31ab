"""Turn the words of `compare` into its settings and a checked job for each strategy."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any

from hydra.core.override_parser.types import Override
from omegaconf import OmegaConf

from tlplug.config.choices import GROUPS
from tlplug.config.command_options import typed_settings
from tlplug.config.compose import ROOT_KEYS, RUN_DIR, Composer, normalised, parse
from tlplug.config.job import Job, build, plain, settings
from tlplug.config.keys import group_of
from tlplug.errors import UsageError, no_such
from tlplug.interfaces import Strategy


@dataclass
class CompareSettings:
    """`compare.*`: what `python -m tlplug compare` runs; there, the names alone are short for these keys."""

    strategies: list[str] = field(default_factory=list)
    """Strategies and presets, from the least invasive to the most: the order in which they are run. conf/compare.yaml has
    the usual ones."""
    seeds: Any = 3
    """How many, from 0, or which: [3,4,5]. Every strategy is trained with each."""
    tune_learning_rate: bool = False
    """Train with several learning rates, and take the one with the best validation score."""
    learning_rate_factors: list[float] = field(default_factory=lambda: [0.3, 1.0, 3.0])
    """What `tune_learning_rate` multiplies the strategy's own learning rate with."""
    target_score: float | None = None
    """Stop at the first strategy whose score reaches this, in the score's own unit (0.85, not 85)."""
    stop_early: bool = True
    """Stop where a strategy gains nothing over the one before, beyond noise; false: run all."""

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
        """The seeds by their numbers."""
        if type(self.seeds) is int:
            return list(range(self.seeds))
        return list(self.seeds) if isinstance(self.seeds, list) else [self.seeds]


NODE, STRATEGY = "compare", "strategy"
OWN = [field.name for field in fields(CompareSettings)]
LISTS = ("strategies", "seeds", "learning_rate_factors")
ELSEWISE = {
    STRATEGY: "compare runs several strategies: strategies=[linear_probe,lora], and strategy.lora.r=16 for a field",
    "seed": "compare trains with several seeds: seeds=[3,4,5], or how many: seeds=3",
    "optimizer.learning_rate": "every strategy has a rate that suits it; tune_learning_rate=true tries others around it",
    "transfer.baselines": "compare shows the trivial baseline; others are strategies like any: strategies=[scratch,lora]",
    "metric": "compare goes by the head's primary score; metrics are computed in a run of one strategy",
    "logger": "compare keeps its figures in compare.json and report.html; loggers are for a run of one strategy",
}
"""Keys of a run that have no meaning here -> what to say in their place."""


@dataclass(frozen=True)
class Plan:
    """What a comparison is going to run."""

    settings: CompareSettings
    jobs: Mapping[str, Job]
    """By strategy, in the order in which they are run."""
    shared: Sequence[str]
    """What all trainings have in common, as it was typed."""
    fields: Mapping[str, Sequence[str]]
    """What was set of single strategies: `strategy.r=16`."""

    @property
    def first(self) -> Job:
        """The job of the first strategy; what is not the strategy's own is the same in all of them."""
        return next(iter(self.jobs.values()))

    @property
    def strategies(self) -> dict[str, Strategy]:
        return {name: job.strategy for name, job in self.jobs.items()}

    def command(self, name: str, rate: float | None) -> str:
        """The command line that trains one of the strategies, with the first seed."""
        given = [
            f"+strategy={name}",
            *(word for word in self.shared if normalised(word).partition("=")[0] != RUN_DIR),
            *self.fields.get(name, ()),
            *([] if rate is None else [f"optimizer.learning_rate={rate:g}"]),
            f"seed={self.settings.seed_list()[0]}",
        ]
        return "python -m tlplug " + " ".join(map(shlex.quote, given))

    def config(self) -> dict[str, Any]:
        """For config.yaml: this comparison's settings, each strategy's node, and what the trainings share."""
        elsewise = {"strategy", "seed", RUN_DIR, "metric", "logger"}
        return {
            NODE: plain(OmegaConf.structured(self.settings)),
            "strategies": {name: job.config["strategy"] for name, job in self.jobs.items()},
            **{key: node for key, node in self.first.config.items() if key not in elsewise},
        }


def plan(composer: Composer, words: Sequence[str]) -> Plan:
    """All jobs of a comparison.

    Raises:
        UsageError: a key or choice is not there, or a strategy cannot work with the head; all of these at once.
    """
    own, single, shared = sorted_out(words)
    chosen = compare_settings(own)
    typed = by_strategy(single, chosen.strategies)
    jobs: dict[str, Job] = {}
    wrong: dict[str, list[str]] = {}
    for name in chosen.strategies:
        line = [*shared, f"strategy={name}", *typed.get(name, ()), "transfer.baselines=[]"]
        try:
            jobs[name] = build(composer.compose(line))
        except UsageError as error:
            wrong.setdefault(str(error), []).append(name)
    refuse(wrong, chosen.strategies)
    check_target(chosen, next(iter(jobs.values())))
    return Plan(chosen, jobs, shared, typed)


def sorted_out(words: Sequence[str]) -> tuple[list[Override], list[str], list[str]]:
    """The words that are compare's own, those of single strategies, and those of all trainings.

    Raises:
        UsageError: a key that there is not, or that has no meaning in this command.
    """
    own: list[Override] = []
    single: list[str] = []
    shared: list[str] = []
    for word in words:
        found = parse([normalised(word)])[0]
        key = group_of(found)
        short = key.removeprefix(f"{NODE}.")
        first, _, rest = short.partition(".")
        if first == STRATEGY and "." in rest:
            single.append(normalised(word).removeprefix(f"{NODE}.").removeprefix(f"{STRATEGY}."))
            continue
        for other, told in ELSEWISE.items():
            if short == other or short.startswith(f"{other}."):
                raise UsageError(f"'{word}': {told}")
        if first in OWN and not rest:
            own.append(found)
        elif key.partition(".")[0] in (*GROUPS, *ROOT_KEYS):
            shared.append(word)
        else:
            known = {*OWN, *GROUPS, *ROOT_KEYS}
            raise UsageError(f"'{word}': {no_such('key or group', first, known)}")
    return own, single, shared


def compare_settings(overrides: Sequence[Override]) -> CompareSettings:
    """The settings, typed and checked."""
    config = typed_settings(CompareSettings, NODE, overrides, LISTS, ("strategies", "learning_rate_factors"))
    return settings(config)  # type: ignore[no-any-return]


def by_strategy(single: Sequence[str], strategies: Sequence[str]) -> dict[str, list[str]]:
    """`lora.r=16` -> `strategy.r=16` under `lora`."""
    found: dict[str, list[str]] = {}
    for word in single:
        name = next((name for name in strategies if word.startswith(f"{name}.")), None)
        if name is None:
            told = no_such(
                "strategy in this comparison", word.partition("=")[0].partition(".")[0], strategies
            )
            raise UsageError(f"'{STRATEGY}.{word}': {told}")
        found.setdefault(name, []).append("strategy" + word.removeprefix(name))
    return found


def check_target(chosen: CompareSettings, job: Job) -> None:
    if chosen.target_score is not None and job.head.display_scale == 100 and chosen.target_score > 1:
        raise UsageError(
            f"target_score={chosen.target_score:g}: {job.head.primary_score} is a share, at most 1; "
            f"say target_score={chosen.target_score / 100:g}"
        )
    if chosen.tune_learning_rate and job.trainer.limit_val_batches == 0:
        raise UsageError(
            "tune_learning_rate=true goes by the validation score, and trainer.limit_val_batches=0 leaves none"
        )


def refuse(wrong: Mapping[str, Sequence[str]], strategies: Sequence[str]) -> None:
    """One error of all that were found; what is wrong with every strategy is said once, without a name."""
    if not wrong:
        return
    told, named = next(iter(wrong.items()))
    if len(wrong) == 1 and len(named) == len(strategies):
        raise UsageError(told)
    lines = [f"  {', '.join(names)}: {told}" for told, names in wrong.items()]
    left = [name for name in strategies if not any(name in names for names in wrong.values())]
    if left:
        lines.append(f"The others: strategies=[{','.join(left)}]")
    raise UsageError("\n".join(["not all of these strategies can be compared:", *lines]))
