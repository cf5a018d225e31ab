"""report.html and report.md of a run directory, from what else lies in it."""

from __future__ import annotations

import json
from pathlib import Path

from tlplug.cache import write_whole
from tlplug.evaluation.evidence import FOLDER, read
from tlplug.reports.html import page
from tlplug.reports.markdown import markdown
from tlplug.reports.run_data import Material

PAGE, MARKDOWN = "report.html", "report.md"


def material(folder: Path) -> Material:
    """All that a finished run's report is written from."""
    with (folder / "predictions.jsonl").open(encoding="utf-8") as file:
        rows = [json.loads(line) for line in file]
    result = json.loads((folder / "result.json").read_text(encoding="utf-8"))
    return Material(result, read(folder / FOLDER), rows)


def write_reports(run: Path, output: Path | None = None) -> Path:
    """Both, into the run's folder in place of those that are there, or into another one; gives back which."""
    found, folder = material(run), output or run
    write_whole(folder / PAGE, page(found.result, found.evidence, found.rows))
    write_whole(folder / MARKDOWN, markdown(found.result, found.evidence, found.rows))
    return folder
