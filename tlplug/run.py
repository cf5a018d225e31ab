"""The story of one run, from a job to its result."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

from lightning.pytorch import Callback
from lightning.pytorch.loggers import Logger
from omegaconf import OmegaConf
from rich.console import Console
from torch import nn

from tlplug import console as screen
from tlplug import evidence, loggers, run_directory
from tlplug.baselines import Baselines
from tlplug.comparison import compare_paired, judge
from tlplug.config import STREAMS, Job, domain_of
from tlplug.contracts import Outcome
from tlplug.data.domain import read_domains
from tlplug.evidence import Recorder
from tlplug.precision import settled
from tlplug.prepare import prepare
from tlplug.processes import rank
from tlplug.report import make_result, show_result
from tlplug.report.figures import percent_of
from tlplug.report.result import told_of
from tlplug.report.story import pictures
from tlplug.report.written import PAGE, material, write_reports
from tlplug.training import Prepared, adapt


def run(job: Job, console: Console, begun: Path | None = None) -> dict[str, Any]:
    """Adapt, measure, report.

    Args:
        begun: the folder of a run that did not finish, which is gone on with.

    Returns:
        The result, as it lies in result.json.

    Raises:
        UsageError: the data, the base model or the settings are not usable; nothing has been written.
    """
    if rank() > 0:
        return follow(job)
    folder = begun or run_directory.choose(job.run_dir, job.task, job.strategy_name)
    with screen.quiet_libraries():
        task = prepare(job, console)
        recorder = recorder_of(job, task)
        preflight(job, task, console)
        with run_directory.logged(folder / "log.txt"):
            if begun is None:
                begin(job, folder)
            name = f"{job.task} {job.strategy_name} seed {job.seed}"
            with loggers.opened(job.loggers, folder, name, job.config) as opened:
                model, outcome = train(job, task, recorder, opened, console)
                save(job, task, model, folder)
                recorder.after(model, task.head.with_decoding(outcome.decoding))
                baselines = compare_with(job, task, console)
                result = judge_run(job, task, outcome, baselines, recorder.found(), folder)
                write_reports(folder)
                loggers.tell(opened, result, lambda: pictures(material(folder)), folder / PAGE)
    show_result(console, result)
    where(console, folder, job.strategy.saves)
    return result


def begin(job: Job, folder: Path) -> None:
    """What the run can be gone on with from, or begun with in another process."""
    config = OmegaConf.to_yaml(OmegaConf.create(job.config))
    run_directory.begin(folder, config, words=list(job.typed), plugins=told_of(job.plugins))


def follow(job: Job) -> dict[str, Any]:
    """A further process of a run on several devices: it trains along, shows nothing and leaves nothing."""
    with screen.quiet_libraries():
        silent = Console(quiet=True)
        task = prepare(job, silent)
        adapt(task, job.strategy, job.optimizer)
        compare_with(job, task, silent)
    return {}


def recorder_of(job: Job, task: Prepared) -> Recorder:
    """What looks at the model before and after, with the rows that it is shown."""
    domains = read_domains(
        {name: domain_of(name, job) for name in STREAMS}, STREAMS, task.head, job.data.seed
    )
    precision = settled(job.trainer.precision, job.trainer.accelerator, task.base.dtype)
    return Recorder.of(
        *(task.head, task.base, job.strategy, job.metrics, task.rows["validation"], domains),
        *(job.evidence, job.data, precision),
    )


def preflight(job: Job, task: Prepared, console: Console) -> None:
    """What was found, before anything is trained."""
    optimizer = job.optimizer.over(job.strategy.optimizer_defaults)
    counts = ", ".join(f"{len(rows):,} {name}" for name, rows in task.rows.items())
    screen.facts(
        console,
        {
            "Task": f"{job.task} ({'; '.join(filter(None, (job.head_name, ', '.join(task.head.labels))))})",
            "Data": f"{job.data.path}{tested_on(job)}: {counts} rows, "
            f"{percent_of(task.data.padding(), 1)} padding in training",
            "Base model": f"{task.base.source} ({task.base.config.model_type}, {task.base.kind}, "
            f"{task.base.max_length} tokens, {task.base.dtype})",
            "Strategy": f"{job.strategy_name}, {job.trainer.max_epochs} epochs, batches of {job.data.batch_size}, "
            f"learning rate {optimizer.learning_rate:g} {optimizer.schedule}, seed {job.seed}",
            "Baselines": ", ".join(job.baselines) or "none",
        },
    )
    screen.examples(console, task.head, task.base, task.data.features["train"], task.rows["train"])


def tested_on(job: Job) -> str:
    return "" if job.data.target.path is None else f", tested on {job.data.target.path}"


def train(
    job: Job, task: Prepared, recorder: Recorder, opened: Sequence[Logger], console: Console
) -> tuple[nn.Module, Outcome]:
    return adapt(
        task,
        job.strategy,
        job.optimizer,
        opened,
        [screen.Bar(console, job.strategy_name, task.head.primary)],
        partial(screen.counting, console),
        recorder,
    )


def compare_with(job: Job, task: Prepared, console: Console) -> dict[str, Outcome]:
    def shown(name: str) -> Sequence[Callback]:
        return [screen.Bar(console, f"baseline {name}", task.head.primary)]

    baselines = Baselines(task, shown, partial(screen.counting, console))
    return {name: baselines.run(name, strategy) for name, strategy in job.baselines.items()}


def save(job: Job, task: Prepared, model: nn.Module, folder: Path) -> None:
    """What was trained, with the tokenizer it was trained with."""
    saved = folder / job.strategy.saves
    job.strategy.save(model, saved)
    task.base.tokenizer.save_pretrained(saved)


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
        evidence.measure(job.metrics, collected),
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
        "strategy_config": asdict(job.strategy.config),
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
    return shlex.join(["python", "-m", "tlplug", *words])


def where(console: Console, folder: Path, saved: str) -> None:
    screen.facts(
        console,
        {
            "Report": str(folder / PAGE),
            "Result": str(folder / "result.json"),
            "Trained": f"{folder / saved}/",
            "Predictions": str(folder / "predictions.jsonl"),
            "Use it": f"python -m tlplug predict {folder} --input FILE",
        },
    )
