"""One task taken stage by stage: the CPU seconds of each, and the most memory of its own that the process had in it.

    python -m bench.scaling.stages OUT WORD...

The words are those of `python -m tlplug`; the figures go to the file OUT.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path

from rich.console import Console

from bench.scaling.memory import Peak
from tlplug.config.compose import Composer
from tlplug.config.job import Job, build
from tlplug.data.read import read_splits
from tlplug.data.split import check_rows
from tlplug.interfaces import Batch
from tlplug.runs.load import base_of
from tlplug.runs.prepare import encoded
from tlplug.training import fit as training

COLLATED = 500
"""Batches, at most, that are put together without a model."""
Figures = dict[str, dict[str, float]]


def main(words: Sequence[str]) -> None:
    out, *asked = words
    with Composer() as composer:
        job = build(composer.compose(asked), asked)
    Path(out).write_text(json.dumps(measured(job)), encoding="utf-8")


def measured(job: Job) -> Figures:
    """A run's way from its files to its first steps, in the order of `prepare` and `training.adapt`."""
    found: Figures = {}
    with stage(found, "start"):
        base = base_of(job.model, job.data.max_length)
    with stage(found, "read"):
        splits = read_splits(job.data, job.head.columns, job.head.optional_columns)
        head = job.head.with_state(job.head.fit(splits["train"]))
    with stage(found, "check"):
        check_rows(splits, head)
    with stage(found, "encode"):
        data = encoded(job, splits, {}, head, base, Console(quiet=True))
    with stage(found, "batches"):
        found["epoch"] = {"batches": len(data.first_epoch())}
    batches = data.train_batches()
    next(batches)  # with the first one comes the order of the epoch
    with stage(found, "collate"):
        found["collated"] = collated(batches)
    with stage(found, "steps"):
        task = training.Prepared(head, base, dict(splits), data, job.trainer, job.seed)
        _, outcome = training.adapt(task, job.strategy, job.optimizer)
    found["fit"] = {"cpu_seconds": (outcome.cost or {})["cpu_seconds"]}
    return found


def collated(batches: Iterator[Batch]) -> dict[str, float]:
    """Rows, and tokens without padding, of the next batches."""
    masks = [batch["attention_mask"] for batch in islice(batches, COLLATED)]
    return {"rows": sum(map(len, masks)), "tokens": sum(int(mask.sum()) for mask in masks)}


@contextmanager
def stage(found: Figures, name: str) -> Iterator[None]:
    with Peak() as peak:
        started, computed = time.perf_counter(), time.process_time()
        yield
        seconds, cpu_seconds = time.perf_counter() - started, time.process_time() - computed
    found[name] = {"seconds": seconds, "cpu_seconds": cpu_seconds, "peak_mb": peak.megabytes}


if __name__ == "__main__":
    main(sys.argv[1:])
