"""Kill, stop or damage runs, resume them, and compare the results with those of an undisturbed run.

    python -m bench.faults [--seed 0] [--times 10]

The trained weights, predictions.jsonl, and result.json without its measured times have to be equal byte for byte. Writes
bench/faults/faults.md; the exit code is 1 if anything differs.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
from pathlib import Path

from bench.faults.faults import EVERY, FaultTest, trials
from bench.results import markdown, table

PAGE = Path(__file__).with_name("faults.md")
ABOUT = f"""\
a run of 72 optimizer steps on a tiny model, with a checkpoint every {EVERY} steps, is disturbed
and resumed by `python -m tlplug resume`. A run counts as the same if its weights, its predictions and its result.json
without measured times are equal byte for byte to those of an undisturbed run."""
SWEEP = """\
The last row is printed by `python -m bench.faults.sweep`: jobs of a sweep are killed at random moments, the sweep is
resumed by `sweep.resume=true`, and each result is compared with that of an undisturbed sweep."""
TESTED = {
    "a full disk (a small tmpfs) that is then made larger": "tests/cli/test_resume.py",
    "both of two processes killed": "tests/cli/test_resume.py",
    "one of two processes killed, or raising": "tests/cli/test_several_processes.py",
    "another base model, other rows or another config when a run is resumed": "tests/cli/test_resume.py",
    "a NaN loss, in one process and in one of two": "tests/cli/test_failures.py",
    "too little memory (RLIMIT_AS)": "tests/cli/test_failures.py",
    "W&B that never answers, and that dies after the start": "tests/cli/test_loggers.py",
    "an MLflow server that is killed during the run": "tests/cli/test_loggers.py",
    "a failing job, a killed job, Ctrl-C and SIGTERM to a sweep": "tests/cli/test_sweep.py",
    "a search that is killed after some trials": "tests/cli/test_search.py",
    "the process of a submitit or Ray job is terminated": "tests/cli/test_launchers.py",
}
"""The faults that the tests try; none loses more than the work since the last checkpoint."""


def main() -> int:
    parser = argparse.ArgumentParser("python -m bench.faults", description=__doc__)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--times", type=int, default=10)
    options = parser.parse_args()
    sweep_rows = sweep_rows_of(PAGE.read_text(encoding="utf-8")) if PAGE.exists() else []
    with tempfile.TemporaryDirectory() as folder:
        test = FaultTest(Path(folder), random.Random(options.seed))
        rows = []
        for name, count, same in trials(test, options.times):
            rows.append([name, str(count), str(same), "nothing" if same == count else "SOMETHING"])
            print(*rows[-1], sep=" | ", flush=True)
    PAGE.write_text(page([*rows, *sweep_rows], " ".join(sys.argv[1:])), encoding="utf-8")
    return int(any("SOMETHING" in row for row in rows))


def sweep_rows_of(text: str) -> list[list[str]]:
    """Return the cells of the rows that `bench.faults.sweep` printed."""
    lines = [line for line in text.splitlines() if line.startswith("| sweep")]
    return [line.strip("| ").split(" | ") for line in lines]


def page(rows: list[list[str]], words: str) -> str:
    command = f"python -m bench.faults {words}".rstrip()
    paragraphs = [
        "# Faults",
        f"`{command}`: {ABOUT}",
        table(["fault", "times", "ended the same", "lost"], rows),
        SWEEP,
        "The tests also try these faults, which lose nothing but the work since the last checkpoint:",
        table(["fault", "test"], [[fault, f"`{test}`"] for fault, test in TESTED.items()]),
    ]
    return markdown(paragraphs)


if __name__ == "__main__":
    sys.exit(main())
