"""What a run found out: evidence, metrics, verdict; all of it written."""

from __future__ import annotations

import shlex
from dataclasses import asdict
from pathlib import Path
from typing import Any

from tlplug import run_directory
from tlplug.config.job import Job
from tlplug.evaluation import evidence
from tlplug.evaluation.measure import measure
from tlplug.evaluation.statistics import compare_paired
from tlplug.evaluation.verdict import judge
from tlplug.interfaces import Outcome
from tlplug.report.result import make_result
from tlplug.secrets import redacted, redacted_words
from tlplug.training import Prepared


def judge_run(
    job: Job,
    task: Prepared,
    outcome: Outcome,
    baselines: dict[str, Outcome],
    recorded: dict[str, Any],
    folder: Path,
) -> dict[str, Any]:
    """Evidence, metrics, verdict; all of it written."""
    collected = all_evidence(job, task, outcome, baselines, recorded)
    evidence.write(collected, folder / evidence.FOLDER)
    comparisons = {
        name: compare_paired(outcome.example_scores, other.example_scores)
        for name, other in baselines.items()
    }
    result = make_result(
        names_of(job, task, outcome),
        outcome,
        baselines,
        comparisons,
        measure(job.metrics, collected),
        judge(comparisons, task.head),
        job.plugins,
    )
    leave(task, outcome, result, folder)
    return result


def all_evidence(
    job: Job,
    task: Prepared,
    outcome: Outcome,
    baselines: dict[str, Outcome],
    recorded: dict[str, Any],
) -> dict[str, Any]:
    """What was recorded of the model, and what is known of the test; no reason stays for what is there."""
    untrained = [name for name, s in job.baselines.items() if s is not None and not s.capabilities.trains]
    of_test = evidence.collect(outcome, baselines, task.head, task.rows["test"], untrained)
    reasons = {name: why for name, why in recorded["reasons"].items() if name not in of_test}
    return {**recorded, **of_test, "reasons": reasons}


def names_of(job: Job, task: Prepared, outcome: Outcome) -> dict[str, Any]:
    """What the run is of, for result.json."""
    return {
        "task": job.task,
        "strategy": job.strategy_name,
        "strategy_config": redacted(asdict(job.strategy.config)),
        "head": job.head_name,
        "base_model": task.base.source,
        "seed": job.seed,
        "primary": task.head.primary,
        "higher_is_better": task.head.higher_is_better,
        "scale": task.head.scale,
        "test_rows": len(outcome.predictions),
        "data": job.data.path if job.data.target.path is None else job.data.target.path,
        "source": job.transfer.source.path,
        "data_hashes": {name: features.key for name, features in task.data.features.items()},
        "command": command_of(job),
    }


def leave(task: Prepared, outcome: Outcome, result: dict[str, Any], folder: Path) -> None:
    """The predictions beside their rows, what the head learnt, and the result."""
    rows = {row["id"]: row for row in task.rows["test"]}
    lines = [{**rows[prediction["id"]], **prediction} for prediction in outcome.predictions]
    run_directory.write_lines(folder / "predictions.jsonl", lines)
    run_directory.write_head(folder, task.head.labels, outcome.decoding)
    run_directory.write_json(folder / run_directory.RESULT, result)


def command_of(job: Job) -> str:
    """The command line that does it again, in a folder of its own."""
    words = [word for word in job.typed if not word.lstrip("+").startswith("run_dir=")]
    return shlex.join(["python", "-m", "tlplug", *redacted_words(words)])
