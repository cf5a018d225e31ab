"""How far a job is that runs, from progress.json in its folder."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tlplug.run_directory import PROGRESS


@dataclass(frozen=True)
class Progress:
    """What a run last wrote about itself; nothing before it has."""

    what: str = ""
    """`epoch 2/3` of the run itself, `baseline scratch` of another training."""
    scores: tuple[tuple[int, float], ...] = ()
    """Steps, and the primary score on the validation rows after each."""

    @property
    def score(self) -> float | None:
        return self.scores[-1][1] if self.scores else None


def progress_of(run: Path) -> Progress:
    """A file that is not there, or not one of ours, says nothing."""
    try:
        found = json.loads((run / PROGRESS).read_text(encoding="utf-8"))
        return Progress(what(found), tuple((int(step), float(score)) for step, score in found["scores"]))
    except (OSError, ValueError, KeyError, TypeError):
        return Progress()


def what(found: dict[str, Any]) -> str:
    if str(found["what"]).startswith("baseline"):
        return str(found["what"])
    return f"epoch {found['epoch']}/{found['epochs']}"
