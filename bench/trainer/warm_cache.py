"""Run a task twice with one cache and measure what the second run takes and computes again.

Both runs are lora on 1000 rows of SST-2 with the default baselines, in two run directories.
"""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from tempfile import TemporaryDirectory

from bench.settings import Settings
from bench.subprocess_call import UNPACKED, Figures, make_cache, measure
from bench.trainer.measurements import MEASUREMENTS, data_words

MEASUREMENT = MEASUREMENTS["sst2"]
RUNS = ("first", "second")


def compare(seed: int, rows: int = 1000) -> dict[str, Figures]:
    """Return the figures of both runs; `computed` counts the entries that each added to the cache, by kind."""
    with TemporaryDirectory() as home:
        cache = make_cache(Path(home) / "task")
        return {name: run(seed, rows, Path(home) / name, cache) for name in RUNS}


def run(seed: int, rows: int, folder: Path, cache: Path) -> Figures:
    def figures() -> Figures:
        result = json.loads((folder / "result.json").read_text(encoding="utf-8"))
        scores = result["baselines"] | {"lora": result["scores"]}
        return {"scores": {name: each[MEASUREMENT.scores[0]] for name, each in scores.items()}}

    before = entries(cache)
    process = measure(words(seed, rows, folder), figures, cache)
    added = Counter(kind for kind, _, _ in entries(cache) - before)
    return {**process, "computed": dict(sorted(added.items()))}


def words(seed: int, rows: int, folder: Path) -> list[str]:
    values = {
        "model.source": MEASUREMENT.model,
        **data_words(MEASUREMENT.data_settings(Settings(rows=rows))),
        "trainer.accelerator": "cpu",
        "seed": seed,
        "run_dir": folder,
    }
    pairs = (f"{name}={value}" for name, value in values.items() if value is not None)
    return ["tlplug", "+strategy=lora", f"+task={MEASUREMENT.task}", *pairs]


def entries(cache: Path) -> set[tuple[str, str, int]]:
    """Return kind, name and time of each entry of the cache, so that one written again is new; locks are hidden files."""
    paths = (path for path in cache.glob("*/*") if path.parent.name != UNPACKED and path.name[0] != ".")
    return {(path.parent.name, path.name, path.stat().st_mtime_ns) for path in paths}
