"""Rank base models, fine-tune some of them to verify the order, and report."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from tlplug.commands.plan_run import choose_folder, describe_task, logged
from tlplug.commands.rank.candidates import Candidate, Shown, candidates, shown
from tlplug.commands.rank.model_scores import Judged, judged
from tlplug.commands.rank.page import make_report
from tlplug.commands.rank.plan import RankPlan
from tlplug.commands.rank.ranking import Ranking
from tlplug.commands.rank.result import make_ranking
from tlplug.commands.rank.table import parameters_told, show_ranking
from tlplug.commands.rank.verify import Verified, verified
from tlplug.reports.formatting import duration, figure
from tlplug.runs import directory as run_directory
from tlplug.runs.result import write_report
from tlplug.runtime import console as screen
from tlplug.runtime.console import Reporter
from tlplug.runtime.memory import release_memory

RANK = "rank.json"

log = logging.getLogger(__name__)


def rank(plan: RankPlan, console: Console) -> int:
    """Score and order the models, fine-tune some of them to verify the order, and report.

    Returns:
        1 where a model failed, else 0.

    Raises:
        UsageError: the data, the settings or a base model are not usable; nothing has been written.
        Stopped: a signal ended the ranking; the message says how to resume it.
    """
    with screen.quiet_libraries():
        folder = choose_folder(plan, RANK)
        rows = shown(plan)
        found = candidates(plan, rows.head)
        if folder is None:
            ranked(plan, rows, found, Reporter())
            return 0
        preflight(plan, rows, found, console)
        with logged(plan, folder, "model"):
            ranking, tried = ranked(plan, rows, found, Reporter(console))
            report(make_ranking(plan, rows, ranking, tried), folder, console)
    return int(any(model.error for model in ranking.models) or any(each.error for each in tried))


def report(result: dict[str, Any], folder: Path, console: Console) -> None:
    """Write rank.json and the report, and print the table."""
    run_directory.write_json(folder / RANK, result)
    write_report(folder, make_report(result))
    show_ranking(console, result)
    screen.print_facts(console, {"Figures": str(folder / RANK), "Report": str(folder / run_directory.PAGE)})


def preflight(plan: RankPlan, rows: Shown, found: Sequence[Candidate], console: Console) -> None:
    """Print the task, data, base models, metrics and fine-tuning before the first model is loaded."""
    job, chosen = plan.first, plan.settings
    screen.print_facts(
        console,
        {
            "Task": describe_task(job, rows.head),
            "Data": f"{job.data.path}: {len(rows.rows):,} training rows are shown to each model",
            "Base models": ", ".join(candidate.title for candidate in found),
            "Metrics": ", ".join(chosen.metrics),
            "Fine-tune": f"{chosen.fine_tune_top} by {chosen.strategy}, {job.trainer.max_epochs} epochs, seed {job.seed}"
            if chosen.fine_tune_top
            else "none is fine-tuned",
        },
    )


def ranked(
    plan: RankPlan, rows: Shown, found: Sequence[Candidate], reporter: Reporter
) -> tuple[Ranking, list[Verified]]:
    models = [
        seen(number, candidate, len(found), plan, rows, reporter) for number, candidate in enumerate(found, 1)
    ]
    ranking = Ranking(models, plan.first.metrics)
    chosen = ranking.to_verify(plan.settings.fine_tune_top)
    tried = [train(number, model, len(chosen), plan, reporter) for number, model in enumerate(chosen, 1)]
    return ranking, tried


def seen(
    number: int, candidate: Candidate, count: int, plan: RankPlan, rows: Shown, reporter: Reporter
) -> Judged:
    """Score one model, and print and log a line with the result."""
    with reporter.progress(candidate.title, len(rows.rows)) as telling:
        found = judged(candidate, rows, plan.first.metrics, telling)
    release_memory()
    took = f"{duration(found.seconds)}{', from the cache' if found.kept else ''}"
    say(
        reporter,
        f"model {number} of {count}  {candidate.title}: "
        + (
            f"failed: {found.error}"
            if found.error
            else f"{parameters_told(found.parameters)} parameters, {found.layers} layers, {took}"
        ),
    )
    return found


def train(number: int, model: Judged, count: int, plan: RankPlan, reporter: Reporter) -> Verified:
    """Fine-tune one model, and print and log a line with its score."""
    head = plan.first.head
    found = verified(model, plan.settings.strategy, reporter)
    score = found.score(head.primary_score)
    told = (
        f"failed: {found.error}"
        if score is None
        else f"{head.primary_score} {figure(score, head.display_scale)}"
    ) + (", from the cache" if found.kept else "")
    say(reporter, f"verified {number} of {count}  {model.candidate.title}: {told}")
    return found


def say(reporter: Reporter, told: str) -> None:
    log.info(told)
    reporter.line(told)
