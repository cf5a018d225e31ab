"""Build and write the result of a run: result.json, version 1, and its reports."""

from __future__ import annotations

import json
import platform
import shlex
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tlplug.config.choices import PLACE_KEYS, root_key
from tlplug.config.job import Job
from tlplug.errors import PluginError
from tlplug.evaluation import evidence
from tlplug.evaluation.advice import JudgedRun, advise
from tlplug.evaluation.bootstrap import Comparison, compare_paired
from tlplug.evaluation.compute_metrics import describe, measure
from tlplug.evaluation.evidence import FOLDER, read
from tlplug.evaluation.verdict import Verdict, judge
from tlplug.interfaces import Outcome, TaskHead, TransferMetric
from tlplug.interfaces.registry import Registry, describe_plugins, first_line
from tlplug.reports.blocks import Report
from tlplug.reports.html import page
from tlplug.reports.markdown import markdown
from tlplug.reports.run_data import Material
from tlplug.reports.run_report import make_report
from tlplug.runs import directory as run_directory
from tlplug.runs.directory import MARKDOWN, PAGE
from tlplug.runtime.files import atomic_write
from tlplug.runtime.secrets import redact, redact_overrides

if TYPE_CHECKING:
    from tlplug.training.fit import Prepared

VERSION = 1
RUN = "run"
"""Key of the run itself beside the names of its baselines."""
TRIVIAL_DESCRIPTION = "No model: the same simple answer to every row, such as the most frequent label."
LIBRARIES = (
    "tlplug",
    "torch",
    "lightning",
    "transformers",
    "peft",
    "bitsandbytes",
    "torchmetrics",
    "datasets",
)


def make_result(
    names: Mapping[str, Any],
    run: Outcome,
    baselines: Mapping[str, Outcome],
    comparisons: Mapping[str, Comparison],
    metrics: Mapping[str, Any],
    verdict: Verdict,
) -> dict[str, Any]:
    """Return the result of one run, the content of result.json.

    Args:
        names: `task`, `strategy`, `seed`, `primary` and other keys that identify the run; they come first.
        comparisons: the run against each baseline on the primary score.
    """
    return {
        "version": VERSION,
        **names,
        "scores": run.scores,
        "baselines": {name: outcome.scores for name, outcome in baselines.items()},
        "comparisons": {name: vars(comparison) for name, comparison in comparisons.items()},
        "metrics": metrics,
        "verdict": verdict.as_dict(),
        "cost": run.cost,
        "curve": {RUN: run.curve, **{name: found.curve for name, found in baselines.items() if found.curve}},
        "baseline_cost": {name: outcome.cost for name, outcome in baselines.items()},
        "versions": versions(),
    }


def versions() -> dict[str, str]:
    """Return the versions of Python and the libraries."""
    return {"python": platform.python_version(), **{name: version(name) for name in LIBRARIES}}


def judge_run(
    job: Job,
    task: Prepared,
    outcome: Outcome,
    baselines: dict[str, Outcome],
    recorded: dict[str, Any],
    folder: Path,
) -> dict[str, Any]:
    """Write the evidence, measure the metrics, judge the run, write its files and return the result."""
    collected = all_evidence(job, task, outcome, baselines, recorded)
    evidence.write(collected, folder / evidence.FOLDER)
    comparisons = {
        name: compare_paired(outcome.example_scores, other.example_scores)
        for name, other in baselines.items()
    }
    measured = measure(job.metrics, collected)
    names = names_of(job, task, outcome)
    scratch = names["scratch_baseline"]
    verdict = judge(comparisons, task.head, scratch)
    judged = JudgedRun(job.strategy_name, task.head, outcome, baselines, comparisons, verdict, scratch)
    result = {
        **make_result(names, outcome, baselines, comparisons, measured, verdict),
        "metric_facts": report_facts(job.metrics, measured),
        "plugins": describe_plugins(job.plugins),
        "advice": advice_of(job, judged, len(task.data.features["train"])),
    }
    leave(task, outcome, result, folder)
    return result


def advice_of(job: Job, judged: JudgedRun, train_rows: int) -> list[dict[str, Any]]:
    """Return advice on the result, each with its `text` and a `command` to follow it, or None."""
    advice = advise(
        judged,
        train_rows=train_rows,
        epochs=job.trainer.max_epochs if job.trainer.max_steps < 0 else None,
        use_best=job.checkpoint.use_best,
    )
    return [
        {"text": each.text, "command": command_of(job, each.strategy) if each.strategy else None}
        for each in advice
    ]


def report_facts(
    metrics: Mapping[str, TransferMetric], measured: Mapping[str, Mapping[str, Any]]
) -> dict[str, dict[str, Any]]:
    """Return the report section of each installed metric, and the facts of each measured one."""
    installed: dict[str, dict[str, Any]] = {}
    for plugin in Registry().plugins:
        if plugin.kind == "metric":
            # A metric that cannot be loaded is an error only where it is selected.
            with suppress(PluginError):
                cls: Any = plugin.load()
                installed[plugin.name] = {"section": cls.section, "facts": []}
    return installed | describe(metrics, measured)


def all_evidence(
    job: Job,
    task: Prepared,
    outcome: Outcome,
    baselines: dict[str, Outcome],
    recorded: dict[str, Any],
) -> dict[str, Any]:
    """Return the recorded evidence with that of the test rows; reasons for missing evidence are dropped where it exists."""
    untrained = [name for name, s in job.baselines.items() if s is not None and not s.capabilities.trains]
    of_test = evidence.collect(outcome, baselines, task.head, task.rows["test"], untrained)
    reasons = {name: why for name, why in recorded["reasons"].items() if name not in of_test}
    return {**recorded, **of_test, "reasons": reasons}


def names_of(job: Job, task: Prepared, outcome: Outcome) -> dict[str, Any]:
    """Return the keys of result.json that identify the run: task, strategy, base model, data and command."""
    return {
        "task": job.task,
        "strategy": job.strategy_name,
        "strategy_config": redact(asdict(job.strategy.config)),
        "head": job.head_name,
        "base_model": task.base.source,
        "seed": job.seed,
        "primary_score": task.head.primary_score,
        "higher_is_better": task.head.higher_is_better,
        "display_scale": task.head.display_scale,
        "test_rows": len(outcome.predictions),
        "scratch_baseline": scratch_baseline(job, task.head),
        "baseline_descriptions": {name: described_baseline(name, job) for name in job.baselines},
        "data": job.data.path if job.data.target_domain.path is None else job.data.target_domain.path,
        "source_domain": job.transfer.source_domain.path,
        "data_hashes": {name: features.key for name, features in task.data.features.items()},
        "command": command_of(job),
    }


def scratch_baseline(job: Job, head: TaskHead) -> str | None:
    """Return the baseline that is trained from random weights, the reference for transfer; None without one."""
    for name, strategy in job.baselines.items():
        if strategy is not None and strategy.load_options(head).random_weights:
            return name
    return None


def described_baseline(name: str, job: Job) -> str:
    """Return a sentence that describes a baseline: for a strategy the first line of its docstring."""
    strategy = job.baselines[name]
    return TRIVIAL_DESCRIPTION if strategy is None else first_line(type(strategy))


def leave(task: Prepared, outcome: Outcome, result: dict[str, Any], folder: Path) -> None:
    """Write predictions.jsonl, where each test row has its prediction, head.json and result.json."""
    rows = {row["id"]: row for row in task.rows["test"]}
    lines = [{**rows[prediction["id"]], **prediction} for prediction in outcome.predictions]
    run_directory.write_lines(folder / "predictions.jsonl", lines)
    run_directory.write_head(folder, {**task.head.state, **outcome.tuned})
    run_directory.write_json(folder / run_directory.RESULT, result)


def command_of(job: Job, strategy: str | None = None) -> str:
    """Return the command line that repeats the run in a new folder.

    Args:
        strategy: replaces the run's strategy; overrides of the old strategy and the optimizer are dropped.
    """
    others = PLACE_KEYS if strategy is None else (*PLACE_KEYS, "strategy", "optimizer")
    words = [word for word in job.typed if root_key(word) not in others]
    if strategy is not None:
        words.insert(0, f"+strategy={strategy}")
    return shlex.join(["python", "-m", "tlplug", *redact_overrides(words)])


def material(folder: Path) -> Material:
    """Load the material of a run's report: the result, the evidence and the predictions."""
    with (folder / "predictions.jsonl").open(encoding="utf-8") as file:
        rows = [json.loads(line) for line in file]
    result = json.loads((folder / run_directory.RESULT).read_text(encoding="utf-8"))
    return Material(result, read(folder / FOLDER), rows)


def write_run_report(run: Path, output: Path | None = None) -> Path:
    """Write a finished run's report into `output`, by default the run directory, and return that folder."""
    folder = output or run
    write_report(folder, make_report(material(run)))
    return folder


def write_report(folder: Path, report: Report) -> None:
    """Write report.html and report.md."""
    atomic_write(folder / PAGE, page(report))
    atomic_write(folder / MARKDOWN, markdown(report))
