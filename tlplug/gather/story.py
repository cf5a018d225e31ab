"""From folders to a comparison; from one run to its report."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tlplug import run_directory
from tlplug.cache import write_whole
from tlplug.contracts import UsageError
from tlplug.gather.contenders import by_task
from tlplug.gather.found import Unusable, evidence_of, find, is_run, result_of
from tlplug.gather.page import markdown, page
from tlplug.gather.result import make_gathered
from tlplug.report.markdown import markdown as run_markdown
from tlplug.report.page import page as run_page
from tlplug.report.written import MARKDOWN, PAGE

GATHERED = "gathered.json"
REPORTS = "reports"


def gather(places: Sequence[Path], output: Path | None = None) -> tuple[dict[str, Any], Path]:
    """All runs in these folders as one comparison, written to `output`.

    Returns:
        What is in gathered.json, and the folder.

    Raises:
        UsageError: a place that is no folder, no run that can be used, or something lies in `output`.
    """
    folder = where(places, output)
    runs, left_out = find(places)
    tasks, others = by_task(runs)
    if not tasks:
        reasons = "\n".join(f"  {each.folder}: {each.reason}" for each in left_out)
        raise UsageError(f"no run can be used:\n{reasons}")
    gathered = make_gathered(tasks, [*left_out, *others])
    write_whole(folder / PAGE, page(gathered))
    write_whole(folder / MARKDOWN, markdown(gathered))
    run_directory.write_json(folder / GATHERED, gathered)
    return gathered, folder


def where(places: Sequence[Path], output: Path | None) -> Path:
    """`output`; else the one folder that holds the runs, where an earlier report is replaced; else a new one."""
    if output is not None:
        run_directory.expect_empty(output, f"--output {output}")
        return output
    if len(places) == 1 and not is_run(places[0]):
        return places[0]
    return run_directory.OUTPUTS / REPORTS / run_directory.stamp()


def retell(run: Path, output: Path | None = None) -> Path:
    """Writes one run's own report anew, into its folder or into `output`; gives back which.

    Raises:
        UsageError: the run is not finished, of another version or damaged, or something lies in `output`.
    """
    if output is not None:
        run_directory.expect_empty(output, f"--output {output}")
    try:
        result = read_result(run)
        told = (result, evidence_of(run), rows_of(run))
    except Unusable as reason:
        raise UsageError(f"{run}: {reason}") from reason
    folder = output or run
    write_whole(folder / PAGE, run_page(*told))
    write_whole(folder / MARKDOWN, run_markdown(*told))
    return folder


def read_result(run: Path) -> dict[str, Any]:
    path = run / run_directory.RESULT
    if not path.is_file():
        raise Unusable(f"it is not finished: there is no {run_directory.RESULT}")
    return result_of(path.read_bytes())


def rows_of(run: Path) -> list[dict[str, Any]]:
    try:
        lines = (run / "predictions.jsonl").read_text(encoding="utf-8").split("\n")
        return [json.loads(line) for line in lines if line]
    except (OSError, ValueError) as error:
        raise Unusable(f"predictions.jsonl cannot be read: {error}") from error
