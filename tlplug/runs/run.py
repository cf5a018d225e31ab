"""Run a job from reading its rows to writing its report."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from rich.console import Console
from torch import nn

from tlplug.config.job import STREAMS, Job, domain_of
from tlplug.config.plugin_versions import warn_of_versions
from tlplug.config.reopen import needs_trust
from tlplug.data.domain import read_domains
from tlplug.errors import Stopped, TrainingFailed, UsageError
from tlplug.evaluation.recorder import Recorder
from tlplug.interfaces import BaseInfo, Rows, RowsContext, TaskHead
from tlplug.models.base_model import save_processor
from tlplug.models.precision import describe_precision, resolve_precision
from tlplug.reports.formatting import percent_of
from tlplug.reports.run_report import pictures
from tlplug.reports.terminal import show_result
from tlplug.runs import directory as run_directory
from tlplug.runs.directory import PAGE, SWEEP_VARIABLE, begin, finished
from tlplug.runs.launch import Told, follows
from tlplug.runs.loggers.open import opened as open_loggers
from tlplug.runs.loggers.service import About, Ended
from tlplug.runs.prepare import prepare
from tlplug.runs.progress import ProgressFile
from tlplug.runs.result import judge_run, material, write_run_report
from tlplug.runs.train_with_baselines import Trainings
from tlplug.runtime import console as screen
from tlplug.runtime.console import Reporter
from tlplug.runtime.secrets import redact
from tlplug.runtime.signals import StopRequest, stop_on_signals
from tlplug.training.checkpoint_files import FOLDER as CHECKPOINTS
from tlplug.training.checkpoint_files import newest
from tlplug.training.fit import Prepared
from tlplug.training.plugin_errors import name_plugin_in_errors


def run(job: Job, console: Console, begun: Path | None = None) -> dict[str, Any]:
    """Adapt the base model, measure what transferred, and write the report.

    Args:
        begun: folder of an unfinished run to resume.

    Returns:
        The content of result.json; empty in a process that follows.

    Raises:
        UsageError: the data, the base model or the settings are not usable; nothing has been written.
        Stopped: a signal ended the run; the message says how to resume it.
        TrainingFailed: a training cannot continue.
    """
    with screen.quiet_libraries():
        further = follows(job.trainer)
    with stop_on_signals() as stop:
        if further:
            return follow(job, begun, stop)
        folder = begun or run_directory.choose(job.run_dir, job.task, job.strategy_name)
        try:
            return whole_run(job, folder, begun is not None, stop, console)
        except Stopped as stopped:
            raise Stopped(stopped.signal, f"{stopped}; {goes_on(folder, job)}") from stopped
        except TrainingFailed as failed:
            # Of several processes only one reports the error; the message of the others is empty.
            log = f" The whole story is in {folder / run_directory.LOG}." if str(failed) else ""
            raise TrainingFailed(f"{failed}{log}") from failed


def whole_run(job: Job, folder: Path, begun: bool, stop: StopRequest, console: Console) -> dict[str, Any]:
    """Run a job in the process that writes the files, from reading the rows to writing the report."""
    with screen.quiet_libraries(), name_plugin_in_errors(job.plugins), ExitStack() as stack:
        if begun:
            stack.enter_context(run_directory.held(folder))
            if finished(folder):
                raise UsageError(f"{folder} has finished meanwhile, in another process")
            warn_of_versions(folder, run_directory.recorded(folder), job.plugins)
        reporter = Reporter(console)
        task = prepare(job, reporter)
        recorder = recorder_of(job, task)
        preflight(job, task, console)
        if not begun:
            begin(job, folder)
            stack.enter_context(run_directory.held(folder))
        trainings = Trainings(
            job, task, folder, stop, ProgressFile(folder, task.head.primary_score), reporter
        )
        with run_directory.logged(folder / run_directory.LOG), name_plugin_in_errors(job.plugins):
            with open_loggers(job.loggers, about(job, folder), reporter.line) as opened:
                model, outcome = trainings.own(recorder, opened.loggers)
                save(job, task, model, folder)
                recorder.after(model, task.head.with_state({**task.head.state, **outcome.tuned}))
                baselines = trainings.baselines()
                result = judge_run(job, task, outcome, baselines, recorder.evidence(), folder)
                write_run_report(folder)
                opened.tell(ended(job, result, folder))
            trainings.end()
    show_result(console, result)
    where(console, folder, job)
    opened.say_commands(reporter.line)
    return result


def goes_on(folder: Path, job: Job) -> str:
    """Return how to resume a run that was stopped."""
    if not (folder / run_directory.RUN).is_file():
        return "nothing was begun yet"
    step = newest(folder / CHECKPOINTS)
    where = "at its beginning" if step is None else f"after step {step}"
    return f"python -m tlplug resume {folder}{trust_flag(job)} goes on {where}"


def about(job: Job, folder: Path) -> About:
    """Return the description of the run that loggers receive at its start."""
    sweep = os.environ.get(SWEEP_VARIABLE)
    return About(folder, job.task, job.strategy_name, job.seed, redact(job.config), sweep)


def ended(job: Job, result: dict[str, Any], folder: Path) -> Ended:
    """Return the result, pictures and paths that loggers receive at the end of the run."""
    trained = folder / job.strategy.saved_folder
    return Ended(result, lambda: pictures(material(folder)), folder / PAGE, trained)


def follow(job: Job, begun: Path | None, stop: StopRequest) -> dict[str, Any]:
    """Train in a following process of a run on several devices, without output or files."""
    told = Told()
    with screen.quiet_libraries(), told.heard(), name_plugin_in_errors(job.plugins):
        silent = Reporter()
        trainings = Trainings(job, prepare(job, silent), begun, stop, None, silent)
        trainings.own(None, (), told)
        trainings.baselines()
    return {}


def recorder_of(job: Job, task: Prepared) -> Recorder:
    """Return the recorder of evidence before and after the training, with the rows it uses."""
    domains = read_domains(
        {name: domain_of(name, job) for name in STREAMS},
        STREAMS,
        task.head,
        job.data.seed,
        task.base.has_tokenizer,
    )
    precision = resolve_precision(job.trainer.precision, job.trainer.accelerator, task.base.dtype)
    return Recorder(
        context=RowsContext(task.head, task.base, task.rows["validation"], job.data.seed),
        domains=domains,
        strategy=job.strategy,
        metrics=job.metrics,
        settings=job.evidence,
        precision=precision,
        batch_size=job.data.batch_size,
    )


def preflight(job: Job, task: Prepared, console: Console) -> None:
    """Print the task, data, base model, strategy, precision and baselines before training, with some examples."""
    optimizer = job.optimizer.over(job.strategy.optimizer_defaults)
    data = task.data.with_streams(job.strategy.extra_data)
    counts = ", ".join(f"{len(rows):,} {name}" for name, rows in task.rows.items())
    screen.print_facts(
        console,
        {
            "Task": f"{job.task} ({'; '.join(filter(None, (job.head_name, ', '.join(task.head.labels))))})",
            "Data": f"{job.data.path}{tested_on(job)}: {counts} rows, "
            f"{percent_of(data.padding(), 1)} padding in training",
            "Base model": described(task.base),
            "Strategy": f"{job.strategy_name}, {job.trainer.max_epochs} epochs, {data.describe_batches()}, "
            f"learning rate {optimizer.learning_rate:g} {optimizer.schedule}, seed {job.seed}",
            "Precision": describe_precision(job.trainer.precision, job.trainer.accelerator, task.base.dtype),
            "Baselines": ", ".join(job.baselines) or "none",
        },
    )
    examples(console, task.head, task.base, task.data.features["train"], task.rows["train"])


def described(base: BaseInfo) -> str:
    """Return the base model's name, and in brackets its type, kind, maximum length and number format."""
    longest = "" if base.max_length is None else f"{base.max_length} tokens, "
    return f"{base.source} ({base.config.model_type}, {base.kind}, {longest}{base.dtype})"


def tested_on(job: Job) -> str:
    return "" if job.data.target_domain.path is None else f", tested on {job.data.target_domain.path}"


def save(job: Job, task: Prepared, model: nn.Module, folder: Path) -> None:
    """Write the trained weights and the processor."""
    saved = folder / job.strategy.saved_folder
    job.strategy.save(model, saved)
    save_processor(task.base, saved)


def trust_flag(job: Job) -> str:
    """Return ` --trust` where commands on the run need it, else an empty string."""
    return " --trust" if needs_trust(job) else ""


def where(console: Console, folder: Path, job: Job) -> None:
    """Print the paths of the run's files and the command to predict with it."""
    screen.print_facts(
        console,
        {
            "Report": str(folder / PAGE),
            "Result": str(folder / "result.json"),
            "Trained": f"{folder / job.strategy.saved_folder}/",
            "Predictions": str(folder / "predictions.jsonl"),
            "Use it": f"python -m tlplug predict {folder} --input FILE{trust_flag(job)}",
        },
    )


EXAMPLES, SHORT = 3, 30


def examples(
    console: Console, head: TaskHead, base: BaseInfo, features: Sequence[Mapping[str, Any]], rows: Rows
) -> None:
    """Print the first training examples as the model sees them, encoded and truncated, with their short targets."""
    console.print("As the model sees them:", style="bold")
    by_id = {row["id"]: row for row in rows[:EXAMPLES]}
    for feature in features[:EXAMPLES]:
        row = by_id.get(feature["id"], {})
        targets = [f"{name}={row[name]}" for name in head.targets if name in row]
        shown = [target for target in targets if len(target) <= SHORT]
        if head.length(feature) > 1:
            shown.append(f"{head.length(feature)} tokens")
        text = ": ".join(filter(None, (", ".join(shown), head.preview(feature, base))))
        console.print(f"  {text}", markup=False, highlight=False, overflow="ellipsis", no_wrap=True)
