"""Group runs by task and strategy, and name the strategies."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from tlplug.commands.report.find import ExcludedRun, Run
from tlplug.evaluation.confidence_intervals import Interval, seed_interval

BASE = "base_model"


@dataclass(frozen=True)
class Contender:
    """All seeds of one strategy on one base model with the same settings."""

    name: str
    """The name of the strategy, followed by the settings in which it differs from others of the same name."""
    runs: Sequence[Run]
    """One run for each seed, sorted by seed."""

    @cached_property
    def values(self) -> np.ndarray:
        """Scores of single examples, [seeds, examples]."""
        return np.stack([run.scores for run in self.runs])

    @property
    def seeds(self) -> list[int]:
        return [run.seed for run in self.runs]

    @property
    def first(self) -> Run:
        return self.runs[0]

    def score(self) -> Interval:
        """Return the mean primary score over seeds with its interval, which for a share is limited to [0, 1]."""
        found = seed_interval(self.values)
        ends = (0.0, 1.0) if self.first.result["display_scale"] == 100 else (-np.inf, np.inf)
        return Interval(found.mean, float(max(found.low, ends[0])), float(min(found.high, ends[1])))

    def gains_over(self, other: Contender) -> tuple[np.ndarray, list[int]]:
        """Return the gains over another strategy, [shared seeds, examples], and the shared seeds.

        Without shared seeds the gains are those of means over seeds, [1, examples].
        """
        sign = 1.0 if self.first.result["higher_is_better"] else -1.0
        shared = [seed for seed in self.seeds if seed in other.seeds]
        if not shared:
            return sign * (self.values.mean(0) - other.values.mean(0))[None], []
        own, others = ([each.seeds.index(seed) for seed in shared] for each in (self, other))
        return sign * (self.values[own] - other.values[others]), shared


def by_task(runs: Sequence[Run]) -> tuple[dict[str, list[Contender]], list[ExcludedRun]]:
    """Return the contenders of each task, and the runs that cannot be compared with the others of their task."""
    tasks: dict[str, list[Run]] = {}
    for run in runs:
        tasks.setdefault(run.result["task"], []).append(run)
    groups: dict[str, list[list[Run]]] = {}
    excluded = []
    for task, own in tasks.items():
        alike, others = comparable(own)
        groups[task], repeated = in_seeds(alike)
        excluded += [*others, *repeated]
    names = names_of([[seeds[0] for seeds in own] for own in groups.values()])
    return {
        task: [Contender(name, seeds) for name, seeds in zip(own, groups[task], strict=True)]
        for task, own in zip(groups, names, strict=True)
    }, excluded


def comparable(runs: Sequence[Run]) -> tuple[list[Run], list[ExcludedRun]]:
    """Return the runs with the most common score and test rows (on a tie, the first), and the others as excluded."""
    tested = [(scored(run), run.tested_on) for run in runs]
    usual = Counter(tested).most_common(1)[0][0]
    model = runs[tested.index(usual)]
    kept = [run for run, kind in zip(runs, tested, strict=True) if kind == usual]
    others = [run for run, kind in zip(runs, tested, strict=True) if kind != usual]
    return kept, [ExcludedRun(run.folder, difference(run, model)) for run in others]


def scored(run: Run) -> tuple[Any, ...]:
    return tuple(run.result[name] for name in ("primary_score", "higher_is_better", "display_scale"))


def difference(run: Run, model: Run) -> str:
    """Return why a run cannot be compared with another run of its task."""
    if scored(run) != scored(model):
        return f"its primary score is {run.result['primary_score']}, that of the others {model.result['primary_score']}"
    if len(run.ids) != len(model.ids):
        return f"it was tested on {len(run.ids):,} rows, the others on {len(model.ids):,}"
    if (run.ids != model.ids).any():
        return f"it was tested on as many rows as the others ({len(run.ids):,}), but not on the same ones"
    return "its test rows have other targets than those of the others"


def in_seeds(runs: Sequence[Run]) -> tuple[list[list[Run]], list[ExcludedRun]]:
    """Return groups of runs that differ in the seed alone, sorted by seed, and the excluded repetitions of a seed."""
    alike: dict[str, dict[int, Run]] = {}
    repeated = []
    for run in runs:
        seeds = alike.setdefault(identity(run), {})
        if run.seed in seeds:
            same = seeds[run.seed].folder
            repeated.append(ExcludedRun(run.folder, f"{same} has the same settings and the same seed"))
        else:
            seeds[run.seed] = run
    return [[seeds[seed] for seed in sorted(seeds)] for seeds in alike.values()], repeated


def identity(run: Run) -> str:
    named = [run.result["strategy"], run.result[BASE], run.settings]
    return json.dumps(named, sort_keys=True, default=str)


def names_of(tasks: Sequence[Sequence[Run]]) -> list[list[str]]:
    """Return the names: the strategy, the base model if it differs, and the settings that differ within a strategy.

    A setting that differs in one task is part of the names in all tasks, so that a name has the same meaning in each.
    """
    bases = short(sorted({run.result[BASE] for runs in tasks for run in runs}))
    told_bases = any(len({run.result[BASE] for run in runs}) > 1 for runs in tasks)
    keys: dict[str, dict[str, None]] = {}
    for runs in tasks:
        for run in runs:
            alike = [other.settings for other in runs if arm(other) == arm(run)]
            keys.setdefault(run.result["strategy"], {}).update(dict.fromkeys(differing(alike)))

    def name(run: Run) -> str:
        base = [bases[run.result[BASE]]] if told_bases else []
        settings = {key: told(run.settings.get(key)) for key in keys[run.result["strategy"]]}
        fields = [f"{key.removeprefix('strategy.')}={value}" for key, value in settings.items()]
        return " ".join([run.result["strategy"], *base, *fields])

    return [[name(run) for run in runs] for runs in tasks]


def arm(run: Run) -> tuple[str, str]:
    return run.result["strategy"], run.result[BASE]


def differing(settings: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the keys whose values differ."""
    keys = dict.fromkeys(key for each in settings for key in each)
    return [key for key in keys if len({told(each.get(key)) for each in settings}) > 1]


def told(value: Any) -> str:
    """Return a value as a user types it."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    return (
        value if isinstance(value, str) else json.dumps(value, default=str).replace('"', "").replace(" ", "")
    )


def short(sources: Sequence[str]) -> dict[str, str]:
    """Return source -> short name: without a common ending, and without owners if the names remain unique."""
    parts = [source.rstrip("/").split("/") for source in sources]
    while len(parts) > 1 and all(len(each) > 1 for each in parts) and len({each[-1] for each in parts}) == 1:
        parts = [each[:-1] for each in parts]
    last = [each[-1] for each in parts]
    names = last if len(set(last)) == len(last) else ["/".join(each) for each in parts]
    return dict(zip(sources, names, strict=True))
