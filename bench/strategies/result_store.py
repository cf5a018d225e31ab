"""Figures of single runs, kept beside those that were measured before."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
Results = dict[str, Any]


def keep(
    stem: str,
    order: Iterable[str],
    run: tuple[str, int],
    found: Results,
    machine: Results,
    page: Callable[[Results], str],
) -> None:
    """Write the figures of a run (its name and seed) into bench/strategies/<stem>.json, and the page that is made of it.

    Args:
        order: of the names.
    """
    file = HERE / f"{stem}.json"
    known = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {"runs": {}}
    runs, (name, seed) = known["runs"], run
    runs.setdefault(name, {})[str(seed)] = found
    known["machine"] = machine
    known["runs"] = {each: dict(sorted(runs[each].items())) for each in order if each in runs}
    file.write_text(json.dumps(known, indent=2) + "\n", encoding="utf-8")
    (HERE / f"{stem}.md").write_text(page(known), encoding="utf-8")
