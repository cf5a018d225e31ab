"""What would bind first where a sweep has a job on each of 64 nodes: a sum."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict

from bench.markdown import table
from tlplug.commands.sweep.launchers.slurm_queue import LOOK_EVERY_S
from tlplug.commands.sweep.loop import LOOK, TICK
from tlplug.commands.sweep.record import Entry
from tlplug.runs.progress import SECONDS

NODES = 64
SERVER = 12.5e9
"""Bytes a second of the file server: 100 Gbit/s."""
ANSWER = 1e-3
"""Seconds in which it answers what is small."""
LOOKS = ANSWER / LOOK + ANSWER / TICK
"""What looking at one job takes, in pauses of the sweep's loop."""
MINUTES = 10
"""Between two checkpoints, as checkpoint.every_minutes comes."""
STEP = 0.1
"""Seconds of a step, about that of lora on the 1B model."""
LOGGED = 10
"""Steps between two points of a logger, as trainer.log_every_n_steps comes."""
Row = tuple[str, str, str]


def part(small: float, large: float, checkpoints: Mapping[str, float]) -> list[str]:
    """Paragraphs of the page.

    Args:
        small, large: weights of the 1B and of the 7B model.
        checkpoints: bytes of each.
    """
    rows = [*read({"1B": small, "7B": large}), *written(checkpoints), *looked(), *logged()]
    return [
        f"### A sweep on {NODES} nodes",
        f"Base model, cache and run directories on one file server of {SERVER / 1e9:.1f} GB/s that answers in "
        f"{1e3 * ANSWER:.0f} ms (both assumed), one job a node, launcher=slurm.",
        table(["what", "sum", "comes to"], [list(row) for row in rows]),
        f"At {NODES} nothing binds. Nearest to it is the sweep's own process, which looks at one job after the other: "
        f"that takes {NODES * LOOKS:.0%} of its pauses, and makes the next job begin so much later. In a sweep of many "
        "thousand jobs it is sweep.json, whose writing grows with their square.",
    ]


def read(weights: Mapping[str, float]) -> Iterator[Row]:
    for name, count in weights.items():
        seconds = NODES * 2 * count / SERVER
        yield (
            f"all read the {name} model at once, bf16",
            f"{NODES} x 2N bytes / server",
            f"{seconds:.0f} s before the first step",
        )


def written(checkpoints: Mapping[str, float]) -> Iterator[Row]:
    for name, size in checkpoints.items():
        rate = NODES * size / (60 * MINUTES)
        yield (
            f"checkpoints, {name}, every {MINUTES} minutes",
            f"{NODES} x {size / 1e9:.2f} GB / {60 * MINUTES} s",
            f"{rate / 1e9:.2f} GB/s, {rate / SERVER:.1%} of the server; {NODES * size / 1e9:,.0f} GB of disk",
        )
    yield (
        f"progress.json, every {SECONDS:.0f} s at most",
        f"{NODES} / {SECONDS:.0f} s",
        f"{NODES / SECONDS:.0f} small files a second",
    )


def looked() -> Iterator[Row]:
    """What the one process of the sweep does, and when that is all it does."""
    yield (
        f"the sweep reads each progress.json, every {LOOK:.0f} s",
        f"{NODES} x {1e3 * ANSWER:.0f} ms / {LOOK:.0f} s",
        f"{NODES * ANSWER / LOOK:.0%} of its pauses",
    )
    yield (
        f"it looks whether each has ended, every {TICK} s",
        f"{NODES} x {1e3 * ANSWER:.0f} ms / {TICK} s",
        f"{NODES * ANSWER / TICK:.0%} of its pauses; with both, at {1 / LOOKS:.0f} jobs at once as long as they are",
    )
    yield ("squeue, for all jobs together", f"every {LOOK_EVERY_S:.0f} s", "the same for any number of jobs")
    size = entry_bytes()
    for jobs in (NODES, 10_000):
        yield (
            f"sweep.json, whole at each begin and end, {jobs:,} jobs",
            f"2 x jobs² x {size} bytes",
            f"{2 * jobs**2 * size / 1e6:,.0f} MB in all",
        )


def logged() -> Iterator[Row]:
    yield (
        f"W&B, a point every {LOGGED} steps of {STEP} s",
        f"{NODES} / {LOGGED * STEP:.0f} s",
        f"{NODES / (LOGGED * STEP):.0f} points a second to one project, in fewer requests; the quota goes by the plan",
    )


def entry_bytes() -> int:
    """Of a job in sweep.json, which is indented."""
    words = ["+strategy=lora", "+task=sentiment", "seed=1"]
    entry = Entry(
        1, words, "1", "accuracy", 100, True, state="done", exit_code=0, score=0.8125, verdict="positive"
    )
    return len(json.dumps([[asdict(entry)]], indent=2))
