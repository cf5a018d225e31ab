"""Measure tlplug beside transformers' Trainer and a hand-written loop, on the data in ../shared/data.

    python -m bench                    everything
    python -m bench sst2 lora 0        one part, one strategy, one seed
    python -m bench squad scitldr 0 1  several
    python -m bench squad 0 rows=16 epochs=1   other settings (bench/settings.py): printed, not saved

Parts: sst2, squad, scitldr, vader (see bench/trainer/measurements.py), each with its strategies; second, what the second
run of a task computes; curves, the losses of tlplug and the Trainer step by step; forgetting, what each strategy costs
the base model on its own texts. Each strategy or part is written to bench/trainer/results.json and
bench/trainer/results.md as soon as it is measured (results_float32 on a processor without bfloat16); the others keep
their figures. A part whose data or base model is missing is skipped with a message.
"""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from bench.machine import machine
from bench.subprocess_call import call_in_subprocess
from bench.trainer import run_pairs, warm_cache
from bench.trainer.measurements import MEASUREMENTS
from bench.trainer.options import CURVES, DATA_OF, FORGETTING, PARTS, SECOND, Options
from bench.trainer.results_page import page
from bench.trainer.summary import is_close
from tlplug.models.precision import cpu_bfloat16_instructions

HERE = Path(__file__).resolve().parent / "trainer"
"""The folder of the results."""
Results = dict[str, Any]


def main(words: Sequence[str]) -> int:
    """Return the exit code: 0 if the results agree, 1 if any does not, 2 if nothing was measured."""
    options = Options(words)
    if error := options.error():
        print(f"bench: {error}\n\n{__doc__}", file=sys.stderr)
        return 2
    results: Results = {}
    for part in options.parts:
        for measured in measure(part, options):
            results = merge(results, part, measured)
            if not options.changes:
                save(part, measured)
    print(page(results))
    return int(not all(agrees(part, each) for part, each in results.items())) if results else 2


def measure(part: str, options: Options) -> Iterator[Results]:
    """Yield the part's results, a strategy at a time; nothing if its data or base model is missing."""
    if missing := call_in_subprocess("bench.trainer.measurements", "missing", DATA_OF.get(part, part)):
        print(f"bench: {part} is skipped: {missing}", file=sys.stderr)
        return
    command = {"command": shlex.join(["python", "-m", "bench", *options.words])}
    seeds = options.seeds_of(part)
    if part not in MEASUREMENTS:
        yield {**command, "machine": machine(), **measure_part(part, seeds)}
    for strategy in options.strategies_of(part):
        origin = command | {"machine": machine()}
        yield {"strategies": {strategy: origin | run_pairs.compare(part, strategy, seeds, options.changes)}}


def measure_part(part: str, seeds: Sequence[int]) -> Results:
    if part == CURVES:
        return {"strategies": call_in_subprocess("bench.trainer.loss_curves", "compare")}
    if part == SECOND:
        return {"runs": {str(seed): warm_cache.compare(seed) for seed in seeds}}
    return {
        "runs": {str(seed): call_in_subprocess("bench.trainer.forgetting", "compare", seed) for seed in seeds}
    }


def agrees(part: str, results: Results) -> bool:
    if part == CURVES:
        return all(curve["agree"] for curve in results["strategies"].values())
    if part == SECOND:
        return not any(run["second"]["computed"] for run in results["runs"].values())
    if part == FORGETTING:
        return all(
            runs["full at a high rate"]["change"] > runs["lora"]["change"]
            for runs in results["runs"].values()
        )
    return all(is_close(part, each) for each in results["strategies"].values())


def merge(earlier: Results, part: str, results: Results) -> Results:
    """Return the earlier results with a part, or a strategy of a measurement, replaced."""
    if part in MEASUREMENTS and part in earlier:
        strategies = earlier[part]["strategies"] | results["strategies"]
        order = MEASUREMENTS[part].strategies
        results = {"strategies": {name: strategies[name] for name in order if name in strategies}}
    merged = earlier | {part: results}
    return {name: merged[name] for name in PARTS if name in merged}


def save(part: str, results: Results) -> None:
    """Write the results into the files of earlier measurements."""
    file = HERE / f"{'results' if cpu_bfloat16_instructions() else 'results_float32'}.json"
    earlier = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
    merged = merge(earlier, part, results)
    file.write_text(json.dumps(merged, indent=2) + "\n", encoding="utf-8")
    file.with_suffix(".md").write_text(page(merged), encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
