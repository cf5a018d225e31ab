"""Make the content of comparison.json, version 1."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict
from itertools import combinations
from statistics import fmean
from typing import Any

import numpy as np

from tlplug.commands.report.find import ExcludedRun
from tlplug.commands.report.groups import BASE, Contender, differing
from tlplug.commands.report.summary import overall, sentence
from tlplug.evaluation.bootstrap import compare_paired
from tlplug.evaluation.confidence_intervals import Interval, seed_interval, t_interval
from tlplug.evaluation.significance import holm, paired_test, pareto_front
from tlplug.runs.result import versions

VERSION = 1
LEVEL = 0.05
"""The significance level for corrected p-values."""
COSTS = ("trainable_share", "seconds")
FORGETTING = "forgotten"
"""The section of a run's report for metrics of forgetting."""


def make_gathered(
    tasks: Mapping[str, Sequence[Contender]], excluded: Iterable[ExcludedRun]
) -> dict[str, Any]:
    """Return all figures of the comparison, including those of each run."""
    told = [task_figures(task, contenders) for task, contenders in tasks.items()]
    return {
        "version": VERSION,
        "summary": overall(told),
        "level": LEVEL,
        "tasks": told,
        "excluded": [{"folder": str(each.folder), "reason": each.reason} for each in excluded],
        "versions": versions(),
    }


def task_figures(task: str, contenders: Sequence[Contender]) -> dict[str, Any]:
    """Return the figures of one task: its strategies, the best one first, and each pair of them."""
    result = contenders[0].first.result
    sign = 1.0 if result["higher_is_better"] else -1.0
    ordered = sorted(contenders, key=lambda each: -sign * each.values.mean())
    metrics = compared_metrics(contenders)
    figures = [contender_figures(each, metrics) for each in ordered]
    pairs = pair_figures(ordered)
    mark_fronts(figures, sign)
    told = {
        "task": task,
        "head": result["head"],
        "primary_score": result["primary_score"],
        "higher_is_better": result["higher_is_better"],
        "display_scale": result["display_scale"],
        "test_rows": len(contenders[0].first.ids),
        "seeds": sorted({seed for each in ordered for seed in each.seeds}),
        "metrics": metrics,
        "best": figures[0]["name"],
        "lightest": lightest(figures, pairs),
        "strategies": figures,
        "pairs": pairs,
        "differing_settings": between(ordered),
    }
    return {**told, "summary": sentence(told)}


def compared_metrics(contenders: Sequence[Contender]) -> dict[str, dict[str, Any]]:
    """Return the compared metrics: the `section` of the report, and `columns`, the title of each value by its key.

    Both come from the metrics themselves. Metrics of forgetting are included even if no run has measured them; a metric
    that was measured and has no columns has nothing to compare.
    """
    runs = [run for contender in contenders for run in contender.runs]
    compared: dict[str, dict[str, Any]] = {}
    for run in runs:
        for name, described in run.result["metric_facts"].items():
            columns = {fact["key"]: fact["column"] for fact in described["facts"] if fact.get("column")}
            if columns or described["section"] == FORGETTING:
                compared.setdefault(name, {"section": described["section"], "columns": {}})
                compared[name]["columns"] |= columns
    return {
        name: each
        for name, each in compared.items()
        if each["columns"] or not any(is_measured(run.result["metrics"].get(name)) for run in runs)
    }


def is_measured(values: Mapping[str, Any] | None) -> bool:
    """Return whether a run has values of a metric."""
    return values is not None and "not_measured" not in values


def contender_figures(contender: Contender, metrics: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    costs = [run.result["cost"] or {} for run in contender.runs]
    parameters = [
        cost.get(name) for name in ("trainable_parameters", "total_parameters") for cost in costs[:1]
    ]
    return {
        "name": contender.name,
        "strategy": contender.first.result["strategy"],
        BASE: contender.first.result[BASE],
        "seeds": contender.seeds,
        "score": asdict(contender.score()),
        "scores": mean_scores(contender),
        "trainable_parameters": parameters[0],
        "total_parameters": parameters[1],
        "trainable_share": None if None in parameters or not parameters[1] else parameters[0] / parameters[1],
        "seconds": mean_where_known(cost.get("seconds") for cost in costs),
        "peak_memory_mb": max(
            (cost["peak_memory_mb"] for cost in costs if cost.get("peak_memory_mb")), default=None
        ),
        "against_scratch": against_scratch(contender),
        "metrics": {name: mean_values(contender, name, each["columns"]) for name, each in metrics.items()},
        "runs": [
            {"seed": run.seed, "score": float(run.scores.mean()), "folder": str(run.folder)}
            for run in contender.runs
        ],
    }


def mean_scores(contender: Contender) -> dict[str, float]:
    """Return the mean over seeds of each score that every seed has."""
    found = [run.result["scores"] for run in contender.runs]
    return {
        name: fmean(each[name] for each in found) for name in found[0] if all(name in each for each in found)
    }


def mean_where_known(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return fmean(known) if known else None


def pair_figures(ordered: Sequence[Contender]) -> list[dict[str, Any]]:
    """Return the figures of each pair, the better mean first, with p-values corrected over all pairs of the task."""
    gains: list[dict[str, Any]] = []
    for first, second in combinations(ordered, 2):
        values, seeds = first.gains_over(second)
        p_value, test = paired_test(values)
        gains.append(
            {
                "first": first.name,
                "second": second.name,
                "gain": asdict(seed_interval(values)),
                "seeds": seeds,
                "paired_by": ["seed", "example"] if seeds else ["example"],
                "test": test,
                "p_value": p_value,
            }
        )
    corrected = holm([pair["p_value"] for pair in gains])
    return [
        {**pair, "p_value_holm": p_value, "significant": p_value < LEVEL}
        for pair, p_value in zip(gains, corrected, strict=True)
    ]


def mark_fronts(figures: Sequence[dict[str, Any]], sign: float) -> None:
    """Set `pareto` of each strategy: cost -> True if it is Pareto-optimal; None if the cost is not known."""
    for each in figures:
        each["pareto"] = dict.fromkeys(COSTS)
    for cost in COSTS:
        known = [each for each in figures if each[cost] is not None]
        marks = pareto_front([each[cost] for each in known], [sign * each["score"]["mean"] for each in known])
        for each, mark in zip(known, marks, strict=True):
            each["pareto"][cost] = mark


def lightest(figures: Sequence[Mapping[str, Any]], pairs: Sequence[Mapping[str, Any]]) -> str:
    """Return the lightest strategy (by trainable share, then seconds) not significantly worse than the best."""
    best = figures[0]["name"]
    told = {pair["second"] for pair in pairs if pair["first"] == best and pair["significant"]}
    level = [each for each in figures if each["name"] not in told]
    return str(
        min(level, key=lambda each: [each[cost] if each[cost] is not None else np.inf for cost in COSTS])[
            "name"
        ]
    )


def against_scratch(contender: Contender) -> dict[str, Any]:
    """Return error(run) - error(scratch) with the runs' own baselines, or why it is not measured.

    The interval is a paired t interval over seeds, or with one seed a paired bootstrap over rows.
    """
    sign = 1.0 if contender.first.result["higher_is_better"] else -1.0
    pairs = [(run.scratch, run.scores) for run in contender.runs if run.scratch is not None]
    if not pairs:
        return {
            "not_measured": "no run has a baseline that was trained from scratch (transfer.baselines=[...,scratch])"
        }
    differences = [sign * (scratch - scores) for scratch, scores in pairs]
    if len(pairs) > 1:
        found = t_interval([float(each.mean()) for each in differences])
    else:
        over = compare_paired(differences[0].tolist(), np.zeros(len(differences[0])).tolist())
        found = Interval(over.difference, over.low, over.high)
    label = "negative" if found.low > 0 else "positive" if found.high < 0 else "inconclusive"
    interval = "paired t over seeds" if len(pairs) > 1 else "paired bootstrap over examples"
    named = {"error_difference": found.mean, "low": found.low, "high": found.high}
    return {**named, "seeds": len(pairs), "interval": interval, "label": label}


def mean_values(contender: Contender, metric: str, keys: Collection[str]) -> dict[str, Any]:
    """Return the mean of each value of a metric, or the reason why it is not measured."""
    if not keys:
        return mean_value(contender, metric, "value")
    return {key: mean_value(contender, metric, key) for key in keys}


def mean_value(contender: Contender, metric: str, key: str) -> dict[str, Any]:
    """Return the mean of a metric's value over the seeds that measured it, or why none did."""
    values, reasons = [], []
    for run in contender.runs:
        measured = run.result["metrics"].get(
            metric, {"not_measured": f"the metric {metric} was not asked for"}
        )
        value = measured.get(key, {"not_measured": measured.get("not_measured", f"{metric} gave no {key}")})
        if isinstance(value, Mapping):
            reasons.append(value["not_measured"])
        else:
            values.append(float(value))
    if not values:
        return {"not_measured": "; ".join(dict.fromkeys(reasons))}
    spread = asdict(t_interval(values)) if len(values) > 1 else {"mean": values[0], "low": None, "high": None}
    return {**spread, "seeds": len(values)}


def between(contenders: Sequence[Contender]) -> dict[str, list[str]]:
    """Return the settings, except those of strategies, that differ between contenders: key -> value of each."""
    settings = [
        {key: value for key, value in each.first.settings.items() if not key.startswith("strategy.")}
        for each in contenders
    ]
    return {
        key: [f"{each.name}: {own.get(key)}" for each, own in zip(contenders, settings, strict=True)]
        for key in differing(settings)
    }
