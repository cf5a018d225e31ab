"""report.html and report.md of a run directory, from what else lies in it."""

from __future__ import annotations

import json
from pathlib import Path

from tlplug.cache import write_whole
from tlplug.evidence import read
from tlplug.report.markdown import markdown
from tlplug.report.page import page

PAGE, MARKDOWN = "report.html", "report.md"


def write_reports(folder: Path) -> None:
    """Both, in place of those that are there."""
    result = json.loads((folder / "result.json").read_text(encoding="utf-8"))
    evidence = read(folder / "evidence")
    with (folder / "predictions.jsonl").open(encoding="utf-8") as file:
        rows = [json.loads(line) for line in file]
    write_whole(folder / PAGE, page(result, evidence, rows))
    write_whole(folder / MARKDOWN, markdown(result, evidence, rows))
