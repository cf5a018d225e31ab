"""`-m`: every combination of the values given, each in a process of its own, one after another."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from tlplug import run_directory
from tlplug.config import Composer, build
from tlplug.config.compose import RUN_DIR
from tlplug.report.figures import figure

SWEEPS = "sweeps"


def sweep(composer: Composer, words: Sequence[str], console: Console) -> int:
    """Run all jobs; a failed one harms no other. All configs are checked before the first job starts.

    Returns:
        1 where a job failed, else 0.
    """
    jobs = combinations(composer, words)
    folder = run_directory.choose(composer.run_dir(words), SWEEPS)
    for overrides in jobs:
        build(composer.compose(overrides))
    codes = [run_job(overrides, folder / str(number), console) for number, overrides in enumerate(jobs)]
    show(console, jobs, codes, folder)
    return int(any(codes))


def combinations(composer: Composer, words: Sequence[str]) -> list[list[str]]:
    """The overrides of each job, in the order in which Hydra multiplies them out."""
    lines = [override for override in composer.check(words) if override.key_or_group != RUN_DIR]
    batches: list[list[list[str]]] = BasicSweeper.split_arguments(lines, None)
    return [list(job) for batch in batches for job in batch]


def run_job(overrides: Sequence[str], folder: Path, console: Console) -> int:
    console.rule(escape(" ".join(overrides)))
    command = [sys.executable, "-m", "tlplug", *overrides, f"{RUN_DIR}={folder}"]
    return subprocess.run(command, check=False).returncode


def show(console: Console, jobs: Sequence[Sequence[str]], codes: Sequence[int], folder: Path) -> None:
    """A row a job: what it was, its primary score in percent, its verdict or its exit code."""
    table = Table(title=f"{len(jobs)} jobs in {folder}", title_justify="left")
    for name in ("job", "overrides", "score", "outcome"):
        table.add_column(name, justify="right" if name == "score" else "left")
    for number, (overrides, code) in enumerate(zip(jobs, codes, strict=True)):
        score, verdict = read_result(folder / str(number)) if code == 0 else ("", f"failed, exit code {code}")
        table.add_row(str(number), escape(" ".join(overrides)), score, verdict)
    console.print(table)


def read_result(folder: Path) -> tuple[str, str]:
    result: dict[str, Any] = json.loads((folder / "result.json").read_text(encoding="utf-8"))
    score = figure(result["scores"][result["primary"]], result["scale"])
    return score, result["verdict"]["label"]
