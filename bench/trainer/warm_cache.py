"""The second run of a task with one cache: what it takes, and what it computes again of all that can be kept.

SST-2, lora on 1000 rows with the default baselines; the same command twice, in another run directory.
"""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from tempfile import TemporaryDirectory

from bench.settings import Settings
from bench.subprocess_call import UNPACKED, Figures, empty_cache, measured
from bench.trainer.measurements import MEASUREMENTS, data_words

MEASUREMENT = MEASUREMENTS["sst2"]
RUNS = ("first", "second")


def compare(seed: int, rows: int = 1000) -> dict[str, Figures]:
    """The figures of both runs; `computed` counts what each put into the cache, by its kind."""
    with TemporaryDirectory() as home:
        cache = empty_cache(Path(home) / "task")
        return {name: run(seed, rows, Path(home) / name, cache) for name in RUNS}


def run(seed: int, rows: int, folder: Path, cache: Path) -> Figures:
    def figures() -> Figures:
        result = json.loads((folder / "result.json").read_text(encoding="utf-8"))
        scores = result["baselines"] | {"lora": result["scores"]}
        return {"scores": {name: found[MEASUREMENT.scores[0]] for name, found in scores.items()}}

    before = entries(cache)
    found = measured(words(seed, rows, folder), figures, cache)
    made = Counter(kind for kind, _, _ in entries(cache) - before)
    return {**found, "computed": dict(sorted(made.items()))}


def words(seed: int, rows: int, folder: Path) -> list[str]:
    given = {
        "model.source": MEASUREMENT.model,
        **data_words(MEASUREMENT.data_settings(Settings(rows=rows))),
        "trainer.accelerator": "cpu",
        "seed": seed,
        "run_dir": folder,
    }
    pairs = (f"{name}={value}" for name, value in given.items() if value is not None)
    return ["tlplug", "+strategy=lora", f"+task={MEASUREMENT.task}", *pairs]


def entries(cache: Path) -> set[tuple[str, str, int]]:
    """Of the cache, with the time of each: one that is made again counts as new. What is hidden there is a lock."""
    kept = (path for path in cache.glob("*/*") if path.parent.name != UNPACKED and path.name[0] != ".")
    return {(path.parent.name, path.name, path.stat().st_mtime_ns) for path in kept}
