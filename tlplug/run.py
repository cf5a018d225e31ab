"""The story of one run, from a job to its result."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

from lightning.pytorch import Callback
from omegaconf import OmegaConf
from rich.console import Console
from torch import nn

from tlplug import console as screen
from tlplug import evidence, loggers, run_directory
from tlplug.baselines import Baselines
from tlplug.cache import write_whole
from tlplug.comparison import compare_paired, judge
from tlplug.config import STREAMS, Job, domain_of
from tlplug.contracts import BaseInfo, Outcome, TaskHead, UsageError
from tlplug.data.check import check_rows
from tlplug.data.domain import labelled, unlabelled
from tlplug.data.features import encode
from tlplug.data.module import TransferData
from tlplug.data.source import SPLITS, read_splits
from tlplug.data.split import Split
from tlplug.inference.open_run import base_of
from tlplug.processes import rank
from tlplug.report import make_result, show_result
from tlplug.report.figures import percent_of
from tlplug.training import Prepared, adapt


def run(job: Job, console: Console) -> dict[str, Any]:
    """Adapt, measure, report.

    Returns:
        The result, as it lies in result.json.

    Raises:
        UsageError: the data, the base model or the settings are not usable; nothing has been written.
    """
    if rank() > 0:
        return follow(job)
    folder = run_directory.choose(job.run_dir, job.task, job.strategy_name)
    with screen.quiet_libraries():
        task = prepare(job, console)
        preflight(job, task, console)
        with run_directory.logged(folder / "log.txt"):
            write_whole(folder / run_directory.CONFIG, OmegaConf.to_yaml(OmegaConf.create(job.config)))
            model, outcome = train(job, task, folder, console)
            save(job, task, model, folder)
            baselines = compare_with(job, task, console)
            result = judge_run(job, task, outcome, baselines, folder)
    show_result(console, result)
    where(console, folder, job.strategy.saves)
    return result


def follow(job: Job) -> dict[str, Any]:
    """A further process of a run on several devices: it trains along, shows nothing and leaves nothing."""
    with screen.quiet_libraries():
        silent = Console(quiet=True)
        task = prepare(job, silent)
        adapt(task, job.strategy, job.optimizer)
        compare_with(job, task, silent)
    return {}


def prepare(job: Job, console: Console) -> Prepared:
    """Rows, validated; labels; the base model found; everything encoded."""
    target = job.data.target.path is not None
    splits = read_splits(job.data, job.head.columns, job.head.optional_columns, SPLITS[: 2 if target else 3])
    if target:
        splits["test"] = labelled(
            job.data.target, job.head, job.data.seed, STREAMS["target"], splits["train"]
        )
    head = job.head.bound_to(splits["train"])
    streams = read_streams(job, head, splits["train"])
    check_rows(splits, head)
    check_rows(streams, head, with_targets=False)
    base = base_of(job.model, job.data.max_length)
    check_base(job, head, base)
    data = encoded(job, splits, streams, head, base, console)
    return Prepared(head, base, dict(splits), data, job.trainer, job.seed)


def read_streams(job: Job, head: TaskHead, train: Split) -> dict[str, Split]:
    """Unlabelled rows of other domains, those that the strategies of this run learn from."""
    strategies = [job.strategy, *filter(None, job.baselines.values())]
    wanted = {name for strategy in strategies for name in (*strategy.streams, *strategy.optional_streams)}
    return {
        # The target's rows are read as the task's are; what must not be forgotten may be of another form.
        name: unlabelled(
            domain_of(name, job), head, job.data.seed, key, like=train if name == "target" else None
        )
        for name, key in STREAMS.items()
        if name in wanted and domain_of(name, job).path is not None
    }


def check_base(job: Job, head: TaskHead, base: BaseInfo) -> None:
    """Whether the head and each strategy can work on this base model; no weights are loaded yet."""
    if reason := head.unfit(base):
        raise UsageError(f"head {job.head_name!r} does not work on {base.source}: {reason}")
    for name, strategy in {job.strategy_name: job.strategy, **job.baselines}.items():
        if strategy is not None and (reason := strategy.unfit(base, head)):
            hint = " Leave it out of transfer.baselines." if name in job.baselines else ""
            raise UsageError(
                f"strategy {name!r} does not work with head {job.head_name!r} on {base.source}: {reason}{hint}"
            )


def encoded(
    job: Job,
    splits: Mapping[str, Split],
    streams: Mapping[str, Split],
    head: TaskHead,
    base: BaseInfo,
    console: Console,
) -> TransferData:
    """All rows encoded, from the cache where they were encoded before."""
    with screen.counting(
        console, "encoding", sum(map(len, [*splits.values(), *streams.values()]))
    ) as progress:
        features = {
            name: encode(head, split, base, name == "train", progress) for name, split in splits.items()
        }
        others = {name: encode(head, split, base, False, progress) for name, split in streams.items()}
    return TransferData(
        **features, head=head, base=base, batch_size=job.data.batch_size, seed=job.seed, streams=others
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


def train(job: Job, task: Prepared, folder: Path, console: Console) -> tuple[nn.Module, Outcome]:
    name = f"{job.task} {job.strategy_name} seed {job.seed}"
    with loggers.opened(job.loggers, folder, name, job.config) as opened:
        return adapt(
            task,
            job.strategy,
            job.optimizer,
            opened,
            [screen.Bar(console, job.strategy_name, task.head.primary)],
            partial(screen.counting, console),
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
    job: Job, task: Prepared, outcome: Outcome, baselines: dict[str, Outcome], folder: Path
) -> dict[str, Any]:
    """Evidence, metrics, verdict; all of it written."""
    collected = evidence.collect(outcome, baselines, task.head.higher_is_better)
    evidence.write(collected, folder / "evidence")
    comparisons = {
        name: compare_paired(outcome.example_scores, other.example_scores)
        for name, other in baselines.items()
    }
    names = {
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
    }
    verdict = judge(comparisons, task.head)
    metrics = evidence.measure(job.metrics, collected)
    result = make_result(names, outcome, baselines, comparisons, metrics, verdict, job.plugins)
    rows = {row["id"]: row for row in task.rows["test"]}
    run_directory.write_lines(
        folder / "predictions.jsonl", [{**rows[p["id"]], **p} for p in outcome.predictions]
    )
    run_directory.write_head(folder, task.head.labels, outcome.decoding)
    run_directory.write_json(folder / run_directory.RESULT, result)
    return result


def where(console: Console, folder: Path, saved: str) -> None:
    screen.facts(
        console,
        {
            "Result": str(folder / "result.json"),
            "Trained": f"{folder / saved}/",
            "Predictions": str(folder / "predictions.jsonl"),
            "Use it": f"python -m tlplug predict {folder} --input FILE",
        },
    )
