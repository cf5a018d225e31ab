"""Make the content of compare.json, version 1."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from statistics import fmean
from typing import Any

from tlplug.commands.compare.decision import Judge, Run, Rung, finished
from tlplug.commands.compare.estimate import Estimate
from tlplug.commands.compare.plan import ComparePlan
from tlplug.commands.compare.train_strategies import Trainings
from tlplug.evaluation.confidence_intervals import Interval
from tlplug.interfaces.registry import describe_plugins
from tlplug.runs.result import versions

VERSION = 1


def make_comparison(
    plan: ComparePlan, trainings: Trainings, rungs: Sequence[Rung], expected: Sequence[Estimate]
) -> dict[str, Any]:
    """Return all figures of one comparison, including those of each seed."""
    task, head = trainings.task, trainings.task.head
    judge, trivial = Judge(head, plan.settings.target_score, plan.settings.stop_early), trainings.trivial()
    done = finished(rungs)
    lightest = judge.lightest(rungs) if done else None
    return {
        "version": VERSION,
        "task": plan.first.task,
        "head": plan.first.head_name,
        "base_model": task.base.source,
        "primary_score": head.primary_score,
        "higher_is_better": head.higher_is_better,
        "display_scale": head.display_scale,
        "test_rows": len(task.rows["test"]),
        "seeds": list(trainings.seeds),
        "target_score": plan.settings.target_score,
        "trivial": figures(trivial, judge),
        "strategies": [rung_figures(number, rungs, judge, trivial, plan) for number in range(len(rungs))],
        "skipped": [name for name in plan.jobs if name not in {rung.name for rung in rungs}],
        "stop_reason": judge.enough(rungs),
        "best": judge.best(rungs).name if done else None,
        "lightest": lightest.name if lightest else None,
        "summary": judge.sentence(rungs, trivial),
        "command": plan.command_for(lightest.name, lightest.rate) if lightest else None,
        "estimates": [estimate_figures(found) for found in expected],
        "versions": versions(),
        "plugins": plugins_of(plan),
    }


def figures(rung: Rung, judge: Judge) -> dict[str, Any]:
    """Return the primary score over seeds, and the figures of each seed."""
    return {"score": spread(judge.score(rung)), "runs": [run_figures(run) for run in rung.runs]}


def rung_figures(
    number: int, rungs: Sequence[Rung], judge: Judge, trivial: Rung, plan: ComparePlan
) -> dict[str, Any]:
    """Return the figures of one strategy: score, gain over the one before, gap to the best, and cost."""
    rung = rungs[number]
    named = {
        "name": rung.name,
        "config": plan.jobs[rung.name].config["strategy"],
        "error": rung.error,
    }
    if rung.error is not None:
        return named
    before, best = judge.before(rungs[: number + 1], trivial), judge.best(rungs)
    costs = [run.outcome.cost or {} for run in rung.runs]
    return {
        **named,
        **figures(rung, judge),
        "gain": {"over": before.name, **spread(judge.gain(rung, before))},
        "gap_to_best": None if rung is best else spread(judge.gain(best, rung)),
        "learning_rate": rung.rate or plan.jobs[rung.name].strategy.optimizer_defaults.learning_rate,
        "learning_rates": [
            {"learning_rate": rate, "validation": score} for rate, score in rung.tried.items()
        ],
        "trainable_parameters": costs[0].get("trainable_parameters", 0),
        "total_parameters": costs[0].get("total_parameters", 0),
        "seconds": fmean(cost.get("seconds", 0.0) for cost in costs),
        "peak_memory_mb": max(cost.get("peak_memory_mb", 0.0) for cost in costs),
    }


def run_figures(run: Run) -> dict[str, Any]:
    outcome = run.outcome
    return {
        "seed": run.seed,
        "scores": outcome.scores,
        "validation": outcome.validation,
        "cost": outcome.cost,
        "cached": run.cached,
    }


def spread(found: Interval) -> dict[str, float]:
    return asdict(found)


def estimate_figures(found: Estimate) -> dict[str, Any]:
    timing = found.timing
    return {
        "name": found.name,
        "trainings": found.trainings,
        "seconds": found.seconds,
        "seconds_per_training": found.training,
        "peak_memory_mb": timing.memory_mb if timing else None,
        "trainable_parameters": timing.trainable if timing else None,
        "total_parameters": timing.total if timing else None,
        "error": found.error,
    }


def plugins_of(plan: ComparePlan) -> list[dict[str, str]]:
    used = {(p.kind, p.name): p for job in plan.jobs.values() for p in job.plugins if p.kind != "metric"}
    return describe_plugins(used.values())
