"""Measurements of tlplug beside transformers' Trainer and peft, on the data in ../shared/data.

    python -m bench                    everything, with seeds 0, 1 and 2
    python -m bench sst2 0             one part, one seed
    python -m bench squad scitldr 0 1  several
    python -m bench squad 0 rows=16 epochs=1   a try with other settings (bench/settings.py): shown, not kept

Parts: sst2, squad, scitldr, vader (bench/measurements.py says what each is), curves, the losses of both step by step,
and forgetting, what each strategy costs the base model's own texts. Each is written to bench/results.json and
bench/results.md as soon as it is measured; parts that are not asked for keep what they had there. One whose data or
base model is not there is left out, with a line that says so.
"""

from __future__ import annotations

import json
import os
import platform
import shlex
import sys
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from bench import pairs
from bench.apart import apart
from bench.measurements import MEASUREMENTS
from bench.page import page
from bench.settings import changed

HERE = Path(__file__).resolve().parent
SEEDS = [0, 1, 2]
CURVES, FORGETTING = "curves", "forgetting"
PARTS = (*MEASUREMENTS, CURVES, FORGETTING)
NEEDS = {CURVES: "sst2", FORGETTING: "scitldr"}
LIBRARIES = ("tlplug", "torch", "lightning", "transformers", "peft", "accelerate")
Results = dict[str, Any]


def main(words: Sequence[str]) -> int:
    """Returns the exit code: 0 all agrees, 1 something does not, 2 nothing was measured."""
    parts = [word for word in words if word in PARTS] or PARTS
    seeds = [int(word) for word in words if word.isdecimal()] or SEEDS
    changes = [word for word in words if "=" in word]
    if problem := fault(words, changes):
        print(f"bench: {problem}\n\n{__doc__}", file=sys.stderr)
        return 2
    done = {part: found for part in parts if (found := take(part, seeds, changes, words))}
    print(page(done))
    agreed = all(agrees(part, found) for part, found in done.items())
    return int(not agreed) if done else 2


def take(part: str, seeds: Sequence[int], changes: list[str], words: Sequence[str]) -> Results | None:
    """Measure one part and keep it, unless it is a try; None where what it needs is not there."""
    if absent := apart("bench.measurements", "absent", NEEDS.get(part, part)):
        print(f"bench: {part} is left out: {absent}", file=sys.stderr)
        return None
    command = shlex.join(["python", "-m", "bench", *words])
    found = {"command": command, "machine": machine(), **measure(part, seeds, changes)}
    if not changes:
        keep(part, found)
    return found


def fault(words: Sequence[str], changes: Sequence[str]) -> str | None:
    """What is wrong with what was typed."""
    known = {*PARTS, *changes}
    if strange := [word for word in words if word not in known and not word.isdecimal()]:
        return f"{', '.join(strange)} is no part, no seed and no setting"
    try:
        changed(changes)
    except ValueError as error:
        return str(error)
    return None


def measure(part: str, seeds: Sequence[int], changes: list[str]) -> Results:
    if part == CURVES:
        return {"strategies": apart("bench.loss_curves", "compare")}
    if part == FORGETTING:
        return {"runs": {str(seed): apart("bench.forgetting", "compare", seed) for seed in seeds}}
    return pairs.compare(part, seeds, changes)


def agrees(part: str, found: Results) -> bool:
    if part == CURVES:
        return all(curve["agree"] for curve in found["strategies"].values())
    if part == FORGETTING:
        return all(
            runs["full at a high rate"]["change"] > runs["lora"]["change"] for runs in found["runs"].values()
        )
    return pairs.near(part, found)


def keep(part: str, found: Results) -> None:
    """Write it beside what the other parts had."""
    file = HERE / "results.json"
    before = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
    after = {name: (before | {part: found})[name] for name in PARTS if name in before or name == part}
    file.write_text(json.dumps(after, indent=2) + "\n", encoding="utf-8")
    (HERE / "results.md").write_text(page(after), encoding="utf-8")


def machine() -> dict[str, Any]:
    return {
        "processor": processor(),
        "cores": os.cpu_count(),
        "threads": os.environ.get("OMP_NUM_THREADS", "all cores"),
        "load_at_start": round(os.getloadavg()[0], 2),
        "python": platform.python_version(),
        **{name: version(name) for name in LIBRARIES},
    }


def processor() -> str:
    listed = Path("/proc/cpuinfo")
    lines = listed.read_text(encoding="utf-8").splitlines() if listed.is_file() else []
    named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(named, platform.processor() or platform.machine())


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
