"""Run a task stage by stage and measure the CPU seconds and the peak own memory of each stage.

    python -m bench.scaling.stages OUT WORD...

The words are those of `python -m tlplug`; the figures are written to the file OUT.
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

from bench.processes import Peak
from tlplug.config.compose import Composer
from tlplug.config.job import Job, build
from tlplug.data.read import read_splits
from tlplug.data.split import check_rows
from tlplug.interfaces import Batch
from tlplug.runs.load import base_of
from tlplug.runs.prepare import encoded
from tlplug.training import fit as training

COLLATED = 500
"""The largest number of batches that are collated without a model."""
Figures = dict[str, dict[str, float]]


def main(words: Sequence[str]) -> None:
    out, *overrides = words
    with Composer() as composer:
        job = build(composer.compose(overrides), overrides)
    Path(out).write_text(json.dumps(measure_stages(job)), encoding="utf-8")


def measure_stages(job: Job) -> Figures:
    """Measure a run from its files to its first steps, in the order of `prepare` and `training.adapt`."""
    figures: Figures = {}
    with stage(figures, "start"):
        base = base_of(job.model, job.data.max_length)
    with stage(figures, "read"):
        splits = read_splits(job.data, job.head.columns, job.head.optional_columns)
        head = job.head.with_state(job.head.fit(splits["train"]))
    with stage(figures, "check"):
        check_rows(splits, head)
    with stage(figures, "encode"):
        data = encoded(job, splits, {}, head, base, Console(quiet=True))
    with stage(figures, "batches"):
        figures["epoch"] = {"batches": len(data.first_epoch())}
    batches = data.train_batches()
    next(batches)  # the first batch makes the order of the epoch
    with stage(figures, "collate"):
        figures["collated"] = count_collated(batches)
    with stage(figures, "steps"):
        task = training.Prepared(head, base, dict(splits), data, job.trainer, job.seed)
        _, outcome = training.adapt(task, job.strategy, job.optimizer)
    figures["fit"] = {"cpu_seconds": (outcome.cost or {})["cpu_seconds"]}
    return figures


def count_collated(batches: Iterator[Batch]) -> dict[str, float]:
    """Return the number of rows and of tokens without padding in the next batches."""
    masks = [batch["attention_mask"] for batch in islice(batches, COLLATED)]
    return {"rows": sum(map(len, masks)), "tokens": sum(int(mask.sum()) for mask in masks)}


@contextmanager
def stage(figures: Figures, name: str) -> Iterator[None]:
    """Measure the body and store its figures under the name."""
    with Peak() as peak:
        started, computed = time.perf_counter(), time.process_time()
        yield
        seconds, cpu_seconds = time.perf_counter() - started, time.process_time() - computed
    figures[name] = {"seconds": seconds, "cpu_seconds": cpu_seconds, "peak_mb": peak.megabytes}


if __name__ == "__main__":
    main(sys.argv[1:])
