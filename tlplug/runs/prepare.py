"""Prepare the task of a job for training: read rows, fit the head, locate the base model and encode all rows."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping

from tlplug.config.job import STREAMS, Job, domain_of
from tlplug.data.datamodule import TransferData
from tlplug.data.domain import read_labelled, read_unlabelled
from tlplug.data.features import encode
from tlplug.data.read import SPLITS, read_splits
from tlplug.data.split import Split, check_rows
from tlplug.errors import UsageError
from tlplug.interfaces import REQUIRED, BaseInfo, Strategy, TaskHead
from tlplug.runs.load import base_of
from tlplug.runtime.console import Reporter
from tlplug.training.fit import Prepared


def prepare(job: Job, reporter: Reporter) -> Prepared:
    """Read and check the rows, fit the head, locate and check the base model, and encode all rows."""
    target = job.data.target_domain.path is not None
    splits = read_splits(job.data, job.head.columns, job.head.optional_columns, SPLITS[: 2 if target else 3])
    if target:
        splits["test"] = read_labelled(
            job.data.target_domain, job.head, job.data.seed, STREAMS["target"], splits["train"]
        )
    head = job.head.with_state(job.head.fit(splits["train"]))
    streams = read_streams(job, head, splits["train"])
    check_rows(splits, head)
    check_rows(streams, head, with_targets=False)
    base = base_of(job.model, job.data.max_length)
    check_base(job, head, base)
    data = encoded(job, splits, streams, head, base, reporter)
    return Prepared(head, base, dict(splits), data, job.trainer, job.seed)


def read_streams(job: Job, head: TaskHead, train: Split) -> dict[str, Split]:
    """Return the unlabelled rows of other domains that the strategies of this run use."""
    strategies = [job.strategy, *filter(None, job.baselines.values())]
    wanted = {name for strategy in strategies for name in strategy.extra_data}
    return {
        # Rows of the target have the form of the task's rows; rows of the source may have another.
        name: read_unlabelled(
            domain_of(name, job), head, job.data.seed, key, like=train if name == "target" else None
        )
        for name, key in STREAMS.items()
        if name in wanted and domain_of(name, job).path is not None
    }


def check_base(job: Job, head: TaskHead, base: BaseInfo) -> None:
    """Raise an error where the head or a strategy cannot use this base model; no weights are loaded yet."""
    if reason := head.why_incompatible(base):
        raise UsageError(f"head {job.head_name!r} does not work on {base.source}: {reason}")
    for name, strategy in {job.strategy_name: job.strategy, **job.baselines}.items():
        if strategy is not None and (reason := strategy.why_incompatible(head, base)):
            hint = " Leave it out of transfer.baselines." if name in job.baselines else ""
            raise UsageError(
                f"strategy {name!r} does not work with head {job.head_name!r} on {base.source}: {reason}{hint}"
            )
        if (
            strategy is not None
            and (streams := streams_of(strategy, job))
            and job.data.tokens_per_batch is not None
        ):
            raise UsageError(
                f"strategy {name!r} sees rows of {' and '.join(streams)} beside the task's, as many of each: "
                "give it data.batch_size, not data.tokens_per_batch"
            )
    expect_compiler(base)


def streams_of(strategy: Strategy, job: Job) -> list[str]:
    """Return the names of the strategy's extra data: those it requires, and optional ones with a configured path."""
    return [
        name
        for name, need in strategy.extra_data.items()
        if need is REQUIRED or domain_of(name, job).path is not None
    ]


def expect_compiler(base: BaseInfo) -> None:
    """Raise an error where torch.compile is on and no C++ compiler exists; it would fail only in the first step."""
    known = [os.environ.get("CXX", ""), "g++", "clang++"]
    if base.compile and not any(map(shutil.which, filter(None, known))):
        raise UsageError(
            "model.compile=true needs a C++ compiler: g++, clang++ or what $CXX names; none is found"
        )


def encoded(
    job: Job,
    splits: Mapping[str, Split],
    streams: Mapping[str, Split],
    head: TaskHead,
    base: BaseInfo,
    reporter: Reporter,
) -> TransferData:
    """Return all rows encoded, from the cache where possible."""
    count = sum(map(len, [*splits.values(), *streams.values()]))
    with reporter.progress("encoding", count) as progress:
        features = {
            name: encode(head, split, base, name == "train", progress) for name, split in splits.items()
        }
        others = {name: encode(head, split, base, False, progress) for name, split in streams.items()}
    return TransferData(
        features=features, head=head, base=base, settings=job.data, seed=job.seed, streams=others
    )
