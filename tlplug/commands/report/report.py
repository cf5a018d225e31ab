"""Compare the runs in folders, or rewrite the report of one run."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tlplug.commands.report.find import Unusable, evidence_of, find, is_run, result_of
from tlplug.commands.report.groups import by_task
from tlplug.commands.report.page import make_report
from tlplug.commands.report.result import make_gathered
from tlplug.errors import UsageError
from tlplug.runs import directory as run_directory
from tlplug.runs.directory import PAGE
from tlplug.runs.result import write_report, write_run_report

COMPARISON = "comparison.json"
REPORTS = "reports"


def gather(places: Sequence[Path], output: Path | None = None) -> tuple[dict[str, Any], Path]:
    """Compare all runs in the folders, and write comparison.json and the report.

    Returns:
        The content of comparison.json, and the folder of the comparison.

    Raises:
        UsageError: a place is not a folder or has no run, no run is usable, or `output` is not empty.
    """
    folder = where(places, output)
    runs, excluded = find(places)
    tasks, others = by_task(runs)
    if not tasks:
        reasons = "\n".join(f"  {each.folder}: {each.reason}" for each in excluded)
        raise UsageError(f"no run can be used:\n{reasons}")
    gathered = make_gathered(tasks, [*excluded, *others])
    write_report(folder, make_report(gathered))
    run_directory.write_json(folder / COMPARISON, gathered)
    return gathered, folder


def where(places: Sequence[Path], output: Path | None) -> Path:
    """Return the folder of the comparison: `output`, else the single folder named, else a new one.

    The single folder is taken if it is not a run, is writable and has no report other than an earlier comparison.
    """
    if output is not None:
        run_directory.expect_empty(output, f"--output {output}")
        return output
    if len(places) == 1 and not is_run(places[0]):
        # A page of that name that is not an earlier comparison is not overwritten.
        ours = (places[0] / COMPARISON).is_file() or not (places[0] / PAGE).exists()
        if ours and os.access(places[0], os.W_OK):
            return places[0]
    return run_directory.OUTPUTS / REPORTS / run_directory.stamp()


def retell(run: Path, output: Path | None = None) -> Path:
    """Rewrite the report of one run into its folder or into `output`; return that folder.

    Raises:
        UsageError: the run is not finished, of another version or damaged, or `output` is not empty.
    """
    if output is not None:
        run_directory.expect_empty(output, f"--output {output}")
    try:
        read_result(run)
        evidence_of(run)
    except Unusable as reason:
        raise UsageError(f"{run}: {reason}") from reason
    run_directory.expect_writable(output or run)
    try:
        return write_run_report(run, output)
    except (OSError, ValueError) as error:
        raise UsageError(f"{run}: predictions.jsonl cannot be read: {error}") from error


def read_result(run: Path) -> dict[str, Any]:
    path = run / run_directory.RESULT
    if not path.is_file():
        raise Unusable(f"it is not finished: there is no {run_directory.RESULT}")
    return result_of(path.read_bytes())
