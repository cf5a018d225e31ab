"""Measurements of tlplug beside transformers' Trainer and a loop written by hand, on the data in ../shared/data.

    python -m bench                    everything
    python -m bench sst2 lora 0        one part, one strategy, one seed
    python -m bench squad scitldr 0 1  several
    python -m bench squad 0 rows=16 epochs=1   a try with other settings (bench/settings.py): shown, not kept

Parts: sst2, squad, scitldr, vader (bench/trainer/measurements.py says what each is), each with its strategies; second,
what the second run of a task computes; curves, the losses of tlplug and the Trainer step by step; forgetting, what each
strategy costs the base model's own texts. Each strategy or part is written to bench/trainer/results.json and
bench/trainer/results.md as soon as it is measured (results_float32 on a processor that does not compute in bfloat16);
what is not asked for keeps what it had there. A part whose data or base model is not there is left out, with a line
that says so.
"""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from bench.machine import machine
from bench.subprocess_call import apart
from bench.trainer import run_pairs, warm_cache
from bench.trainer.measurements import MEASUREMENTS
from bench.trainer.options import CURVES, FORGETTING, NEEDS, PARTS, SECOND, Asked
from bench.trainer.results_page import page
from bench.trainer.summary import near
from tlplug.models.precision import cpu_bfloat16_instructions

HERE = Path(__file__).resolve().parent / "trainer"
"""Where the results are kept."""
Results = dict[str, Any]


def main(words: Sequence[str]) -> int:
    """Returns the exit code: 0 all agrees, 1 something does not, 2 nothing was measured."""
    asked = Asked(words)
    if problem := asked.fault():
        print(f"bench: {problem}\n\n{__doc__}", file=sys.stderr)
        return 2
    done: Results = {}
    for part in asked.parts:
        for found in taken(part, asked):
            done = merged(done, part, found)
            if not asked.changes:
                keep(part, found)
    print(page(done))
    return int(not all(agrees(part, found) for part, found in done.items())) if done else 2


def taken(part: str, asked: Asked) -> Iterator[Results]:
    """What is measured of a part, a strategy at a time; nothing where what it needs is not there."""
    if absent := apart("bench.trainer.measurements", "absent", NEEDS.get(part, part)):
        print(f"bench: {part} is left out: {absent}", file=sys.stderr)
        return
    said = {"command": shlex.join(["python", "-m", "bench", *asked.words])}
    seeds = asked.seeds_of(part)
    if part not in MEASUREMENTS:
        yield {**said, "machine": machine(), **measure(part, seeds)}
    for strategy in asked.strategies_of(part):
        here = said | {"machine": machine()}
        yield {"strategies": {strategy: here | run_pairs.compare(part, strategy, seeds, asked.changes)}}


def measure(part: str, seeds: Sequence[int]) -> Results:
    if part == CURVES:
        return {"strategies": apart("bench.trainer.loss_curves", "compare")}
    if part == SECOND:
        return {"runs": {str(seed): warm_cache.compare(seed) for seed in seeds}}
    return {"runs": {str(seed): apart("bench.trainer.forgetting", "compare", seed) for seed in seeds}}


def agrees(part: str, found: Results) -> bool:
    if part == CURVES:
        return all(curve["agree"] for curve in found["strategies"].values())
    if part == SECOND:
        return not any(run["second"]["computed"] for run in found["runs"].values())
    if part == FORGETTING:
        return all(
            runs["full at a high rate"]["change"] > runs["lora"]["change"] for runs in found["runs"].values()
        )
    return all(near(part, each) for each in found["strategies"].values())


def merged(before: Results, part: str, found: Results) -> Results:
    """With what was found in the place of what was there: a part, or a strategy of a measurement."""
    if part in MEASUREMENTS and part in before:
        known = before[part]["strategies"] | found["strategies"]
        order = MEASUREMENTS[part].strategies
        found = {"strategies": {name: known[name] for name in order if name in known}}
    both = before | {part: found}
    return {name: both[name] for name in PARTS if name in both}


def keep(part: str, found: Results) -> None:
    """Write it beside what was measured before."""
    file = HERE / f"{'results' if cpu_bfloat16_instructions() else 'results_float32'}.json"
    before = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
    after = merged(before, part, found)
    file.write_text(json.dumps(after, indent=2) + "\n", encoding="utf-8")
    file.with_suffix(".md").write_text(page(after), encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
