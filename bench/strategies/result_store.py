"""Store figures of single runs beside earlier ones."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
Results = dict[str, Any]


@dataclass(frozen=True)
class ResultStore:
    """The files bench/strategies/<stem>.json and <stem>.md."""

    stem: str
    order: Iterable[str]
    """The names of the runs, in the order of the page."""
    page: Callable[[Results], str]

    def save(self, name: str, seed: int, figures: Results, machine: Results) -> None:
        """Write the figures of one run into both files."""
        file = HERE / f"{self.stem}.json"
        results = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {"runs": {}}
        runs = results["runs"]
        runs.setdefault(name, {})[str(seed)] = figures
        results["machine"] = machine
        results["runs"] = {each: dict(sorted(runs[each].items())) for each in self.order if each in runs}
        file.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")
        (HERE / f"{self.stem}.md").write_text(self.page(results), encoding="utf-8")
