"""What runs compute, in counts that no machine changes.

Three runs of the task that ships, one after another in one cache: LoRA with its baselines, the same again, and a probe
of more epochs. bench/counts/counts.json is what they came to when it was last written; tests/cli/test_counts.py counts
again, so that a pass too many, padding or an import that came in is noticed.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from bench.settings import ROOT

FILE = Path(__file__).with_name("counts.json")
KINDS = ("features", "base_features", "frozen", "outcomes")
"""Of the cache, what a run leaves for the next one."""
SMALL = ("+task=sentiment", "trainer.accelerator=cpu", "data.limit.train=96", "data.limit.test=40")
LORA = ("+strategy=lora", *SMALL, "trainer.max_epochs=2", "transfer.baselines=[trivial,linear_probe,scratch]")
PROBE = ("+strategy=linear_probe", *SMALL, "trainer.max_epochs=8", "transfer.baselines=[]")
RUNS = {"lora, and its baselines": LORA, "the same again": LORA, "a probe of 8 epochs": PROBE}
Counts = dict[str, Any]


def counted() -> Counts:
    """What each of the runs computes, and adds to the cache."""
    with TemporaryDirectory() as folder:
        place = Path(folder)
        return {name: one(place, number, words) for number, (name, words) in enumerate(RUNS.items())}


def one(place: Path, number: int, words: tuple[str, ...]) -> Counts:
    before = entries(place / "cache")
    out = place / f"{number}.json"
    subprocess.run(
        [sys.executable, "-m", "bench.counts.count_run", str(out), *words, f"run_dir={place / str(number)}"],
        cwd=ROOT,
        env=os.environ | {"HF_HUB_OFFLINE": "1", "TLPLUG_CACHE": str(place / "cache")},
        stdout=subprocess.DEVNULL,
        check=True,
    )
    kept = {kind: count - before[kind] for kind, count in entries(place / "cache").items()}
    return {**json.loads(out.read_text(encoding="utf-8")), "kept": kept}


def entries(cache: Path) -> dict[str, int]:
    """How many results of each kind are in the cache, locks left out."""
    return {kind: sum(not each.name.startswith(".") for each in (cache / kind).glob("*")) for kind in KINDS}


def packages() -> int:
    """How many installed packages the first training step has imported."""
    from tests.cli.first_step import modules_at_first_step
    from tests.cli.first_step import packages as found

    with TemporaryDirectory() as folder:
        return len(found(modules_at_first_step(Path(folder), "task=sentiment", "transfer.baselines=[]")))
