"""Runs that are killed, stopped, starved or damaged, and gone on with, against one that nothing happened to.

    python -m bench.faults [--seed 0] [--times 10]

What a run leaves has to be that of the undisturbed one byte for byte: what was trained, predictions.jsonl, and in
result.json all that is no measured time. Writes bench/faults/faults.md; exit code 1 where something was lost.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
from pathlib import Path

from bench.faults.faults import EVERY, Bench, trials

PAGE = Path(__file__).with_name("faults.md")
ABOUT = f"""\
a run of 72 optimizer steps on a tiny model, with a checkpoint every {EVERY} steps, is disturbed
and gone on with by `python -m tlplug resume`. The same: weights, predictions, and all of result.json
but measured times are byte for byte those of a run that nothing happened to."""
SWEEP = """\
The last row is what `python -m bench.faults.sweep` prints: a sweep whose jobs are killed at random moments, gone on
with by `sweep.resume=true`; each of its results is compared with that of an undisturbed sweep."""
TESTED = {
    "a disk that is really full (a small tmpfs), then made larger": "tests/cli/test_resume.py",
    "both of two processes killed": "tests/cli/test_resume.py",
    "one of two processes killed, or raising": "tests/cli/test_several_processes.py",
    "another base model, other rows or another config where a run is gone on with": "tests/cli/test_resume.py",
    "a NaN loss, in one process and in one of two": "tests/cli/test_failures.py",
    "too little memory (RLIMIT_AS)": "tests/cli/test_failures.py",
    "W&B that never answers, and that dies after the begin": "tests/cli/test_loggers.py",
    "an MLflow server that is killed in the middle": "tests/cli/test_loggers.py",
    "a job that fails, one that is killed, Ctrl-C and SIGTERM to a sweep": "tests/cli/test_sweep.py",
    "a search that is killed after some trials": "tests/cli/test_search.py",
    "the process of a submitit or Ray job asked to end": "tests/cli/test_launchers.py",
}
"""What the tests try once each time they run; none of it loses more than what came after the last checkpoint."""


def main() -> int:
    parser = argparse.ArgumentParser("python -m bench.faults", description=__doc__)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--times", type=int, default=10)
    given = parser.parse_args()
    swept = (
        [line for line in PAGE.read_text().splitlines() if line.startswith("| sweep")]
        if PAGE.exists()
        else []
    )
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(Path(folder), random.Random(given.seed))
        rows = []
        for name, count, same in trials(bench, given.times):
            rows.append(f"| {name} | {count} | {same} | {'nothing' if same == count else 'SOMETHING'} |")
            print(rows[-1], flush=True)
    PAGE.write_text(page([*rows, *swept], " ".join(sys.argv[1:])), encoding="utf-8")
    return int(any("SOMETHING" in row for row in rows))


def page(rows: list[str], words: str) -> str:
    command = f"python -m bench.faults {words}".rstrip()
    table = ["| what happened | times | ended the same | lost |", "| --- | ---: | ---: | --- |", *rows]
    tested = [
        "| what happens | where |",
        "| --- | --- |",
        *(f"| {what} | `{where}` |" for what, where in TESTED.items()),
    ]
    told = "The tests try these, once each time they run; nothing is lost but what came after the last checkpoint:"
    return "\n".join(
        ["# Faults", "", f"`{command}`: {ABOUT}", "", *table, "", SWEEP, "", told, "", *tested, ""]
    )


if __name__ == "__main__":
    sys.exit(main())
