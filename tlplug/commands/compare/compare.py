"""Compare strategies: train one after another until one gains nothing, and report."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from rich.console import Console

from tlplug.commands.compare.decision import Judge, Run, Rung
from tlplug.commands.compare.estimate import estimates
from tlplug.commands.compare.page import make_report
from tlplug.commands.compare.plan import ComparePlan
from tlplug.commands.compare.result import make_comparison
from tlplug.commands.compare.table import show_comparison, show_estimates
from tlplug.commands.compare.train_strategies import Shown, Trainings
from tlplug.commands.plan_run import choose_folder, describe_task, logged
from tlplug.errors import UsageError
from tlplug.interfaces import REQUIRED, BaseInfo, Requirement, Strategy, TaskHead
from tlplug.reports.formatting import duration, figure
from tlplug.runs import directory as run_directory
from tlplug.runs.prepare import prepare
from tlplug.runs.progress import Bar
from tlplug.runs.result import write_report
from tlplug.runtime import console as screen
from tlplug.runtime.console import Reporter
from tlplug.training.fit import TrainingHooks


class AllStrategies(Strategy):
    """Stand for all strategies while the task is prepared; adapt nothing."""

    def __init__(self, strategies: Mapping[str, Strategy]) -> None:
        super().__init__()
        self.strategies = strategies
        self.extra_data = self._extra_data()  # type: ignore[misc]

    def why_incompatible(self, head: TaskHead, base: BaseInfo | None = None) -> str | None:
        """Return why the strategies that do not fit the head or base model are incompatible; None if all fit."""
        found = {name: strategy.why_incompatible(head, base) for name, strategy in self.strategies.items()}
        reasons = [f"{name}: {reason}" for name, reason in found.items() if reason]
        return " ".join([*reasons, "Leave them out of strategies=[...]."]) if reasons else None

    def _extra_data(self) -> dict[str, Requirement]:
        """Return the extra data of all strategies, required where one of them requires it."""
        every = [each for strategy in self.strategies.values() for each in strategy.extra_data.items()]
        return {name: REQUIRED if (name, REQUIRED) in every else need for name, need in every}


COMPARE = "compare.json"

log = logging.getLogger(__name__)


def compare(plan: ComparePlan, console: Console, dry_run: bool = False) -> int:
    """Estimate the cost, train the strategies until one is enough, and report.

    Returns:
        1 where a strategy failed, else 0.

    Raises:
        UsageError: the data, the base model, the settings or a strategy are not usable; nothing has been written.
        Stopped: a signal ended the comparison; the message says how to resume it.
    """
    reporter = Reporter(console)
    with screen.quiet_libraries():
        folder = choose_folder(plan, COMPARE)
        if folder is None:
            silent = Reporter()
            climb(plan, prepared(plan, silent), silent)
            return 0
        trainings = prepared(plan, reporter)
        preflight(plan, trainings, console)
        expected = estimates(plan.strategies, trainings)
        show_estimates(console, expected, len(plan.settings.seed_list()))
        if dry_run:
            return 0
        with logged(plan, folder, "training"):
            rungs = climb(plan, trainings, reporter)
            report(make_comparison(plan, trainings, rungs, expected), folder, console)
    return int(any(rung.error is not None for rung in rungs))


def prepared(plan: ComparePlan, reporter: Reporter) -> Trainings:
    """Prepare rows, base model and features once for all strategies and seeds.

    Raises:
        UsageError: a strategy is incompatible, or the test split has a single row.
    """
    job = plan.first
    asked = replace(
        job,
        strategy=AllStrategies(plan.strategies),
        strategy_name=", ".join(plan.jobs),
        seed=plan.settings.seed_list()[0],
    )
    task = prepare(asked, reporter)
    if len(task.rows["test"]) < 2:
        raise UsageError(
            "the test split has one row; a comparison needs two at least, to tell noise from gain"
        )
    return Trainings.of(task, plan.settings, job.optimizer)


def preflight(plan: ComparePlan, trainings: Trainings, console: Console) -> None:
    """Print the task, data, base model, strategies and trainings before the first training."""
    job, task, chosen = plan.first, trainings.task, plan.settings
    counts = ", ".join(f"{len(rows):,} {name}" for name, rows in task.rows.items())
    ends = (
        f"until {task.head.primary_score} {chosen.target_score:g}"
        if chosen.target_score is not None
        else "until one gains nothing beyond noise"
        if chosen.stop_early
        else "all of them"
    )
    screen.print_facts(
        console,
        {
            "Task": describe_task(job, task.head),
            "Data": f"{job.data.path}: {counts} rows",
            "Base model": f"{task.base.source} ({task.base.config.model_type}, {task.base.kind}, {task.base.dtype})",
            "Strategies": f"{', '.join(plan.jobs)}; {ends}",
            "Trainings": f"{job.trainer.max_epochs} epochs, {task.data.describe_batches()}, "
            f"seeds {', '.join(map(str, chosen.seed_list()))}"
            + (
                f", learning rates times {', '.join(f'{f:g}' for f in chosen.learning_rate_factors)}"
                if chosen.tune_learning_rate
                else ""
            ),
        },
    )


def climb(plan: ComparePlan, trainings: Trainings, reporter: Reporter) -> list[Rung]:
    """Train one strategy after another until one is enough; return the results, failures among them."""
    judge = Judge(trainings.task.head, plan.settings.target_score, plan.settings.stop_early)
    shown = Shown(partial(progress, trainings, reporter), partial(trained, trainings, reporter))
    rungs: list[Rung] = []
    for number, (name, strategy) in enumerate(plan.strategies.items(), 1):
        reporter.console.print(
            f"\n[bold]{name}[/bold]  strategy {number} of {len(plan.jobs)}", highlight=False
        )
        rungs.append(trainings.run(name, strategy, shown))
        say(rungs, judge, trainings.trivial(), reporter)
        if judge.enough(rungs):
            break
    return rungs


def progress(trainings: Trainings, reporter: Reporter, title: str, seed: int) -> TrainingHooks:
    number = list(trainings.seeds).index(seed) + 1
    told = f"{title}, seed {seed} ({number} of {len(trainings.seeds)})"
    bar = Bar(reporter.console, told, trainings.task.head.primary_score)
    return TrainingHooks(callbacks=[bar], reporter=reporter)


def trained(trainings: Trainings, reporter: Reporter, title: str, run: Run) -> None:
    head = trainings.task.head
    score = f"{head.primary_score} {figure(run.outcome.scores[head.primary_score], head.display_scale)}"
    cost = run.outcome.cost or {}
    took = "from the cache" if run.cached else duration(cost.get("seconds", 0.0))
    log.info("%s seed %d: %s, %s", title, run.seed, score, took)
    reporter.line(f"  {title}, seed {run.seed}: {score}, {took}")


def say(rungs: Sequence[Rung], judge: Judge, trivial: Rung, reporter: Reporter) -> None:
    """Print and log the result of the last strategy, and the reason if the comparison ends there."""
    last = rungs[-1]
    told = f"{last.name} failed: {last.error}" if last.error else judge.standing(rungs, trivial)
    if stopped := judge.enough(rungs):
        told += f" Enough: {stopped}."
    log.info(told)
    reporter.line(f"  {told}")


def report(result: dict[str, Any], folder: Path, console: Console) -> None:
    """Write compare.json and the report, and print the table."""
    run_directory.write_json(folder / COMPARE, result)
    write_report(folder, make_report(result))
    show_comparison(console, result)
    screen.print_facts(
        console, {"Figures": str(folder / COMPARE), "Report": str(folder / run_directory.PAGE)}
    )
