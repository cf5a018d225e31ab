"""What a search is steered by, and what it found."""

from __future__ import annotations

import json
import math
import shlex
from collections import Counter
from pathlib import Path
from typing import Any

from tlplug import run_directory
from tlplug.report.figures import figure

FOLDER, WORDS, ERROR = "folder", "words", "error"
"""What is kept of a trial in the database beside what Optuna keeps."""
STATES = {"complete": "done", "fail": "failed", "running": "to be gone on with"}


def validation_score(run: Path) -> float | None:
    """The last on the validation rows, never that on the test rows; None where there is no such number."""
    result = json.loads((run / run_directory.RESULT).read_text(encoding="utf-8"))
    points = result["curve"].get("run") or [[0, math.nan]]
    return float(points[-1][1]) if math.isfinite(points[-1][1]) else None


def show_best(study: Any, sweep: Path, console: Any) -> None:
    """What the search found, and the one command that trains it again."""
    trials = study.get_trials(deepcopy=False)
    counts = Counter(trial.state.name.lower() for trial in trials)
    told = ", ".join(f"{count} {STATES.get(name, name)}" for name, count in counts.items())
    lines = [f"Search    {len(trials)} trials: {told}"]
    if counts["complete"]:
        best = study.best_trial
        words, folder = best.user_attrs[WORDS], sweep / best.user_attrs[FOLDER]
        result = json.loads((folder / run_directory.RESULT).read_text(encoding="utf-8"))
        score = f"{result['primary']} {figure(best.value, result['scale'])} on the validation rows"
        lines += [f"Best      job {best.number}: {score}, {' '.join(words[-len(best.params) :])}"]
        lines += [f"Again     {shlex.join(['python', '-m', 'tlplug', *words])}"]
    lines += [
        f"Job {trial.number} makes no run: {trial.user_attrs[ERROR]}"
        for trial in trials
        if ERROR in trial.user_attrs
    ]
    for line in lines:
        console.print(line, markup=False, highlight=False, soft_wrap=True)
