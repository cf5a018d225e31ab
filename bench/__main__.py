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

import shlex
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench import results as files
from bench.processes import call_in_subprocess
from bench.results import Results, machine
from bench.settings import fail, parse_changes, seeds_in
from bench.trainer import arms, tlplug_alone
from bench.trainer.arms import is_close
from bench.trainer.measurements import MEASUREMENTS
from bench.trainer.results_page import page
from tlplug.models.precision import cpu_bfloat16_instructions

HERE = Path(__file__).resolve().parent / "trainer"
"""The folder of the results."""
CURVES, FORGETTING, SECOND = "curves", "forgetting", "second"
PARTS = (*MEASUREMENTS, SECOND, CURVES, FORGETTING)
DATA_OF = {SECOND: "sst2", CURVES: "sst2", FORGETTING: "scitldr"}
"""A part -> the measurement whose data and base model it uses."""
STRATEGIES = {part: list(MEASUREMENTS[part].strategies) if part in MEASUREMENTS else [] for part in PARTS}


@dataclass(frozen=True)
class Options:
    """The words of a command line, by their kind."""

    words: Sequence[str]

    @property
    def parts(self) -> list[str]:
        """The parts on the command line; without one, all parts that have any of the strategies."""
        parts = [word for word in PARTS if word in self.words]
        return parts or [part for part in PARTS if self.strategies_of(part) or not self.strategies]

    @property
    def strategies(self) -> list[str]:
        return [word for word in self.words if any(word in names for names in STRATEGIES.values())]

    @property
    def changes(self) -> list[str]:
        """The settings, as `name=value`."""
        return [word for word in self.words if "=" in word]

    def strategies_of(self, part: str) -> list[str]:
        """Return the strategies of a part to measure."""
        return [name for name in STRATEGIES[part] if name in self.strategies or not self.strategies]

    def seeds_of(self, part: str) -> Sequence[int]:
        if part in MEASUREMENTS and not any(word.isdecimal() for word in self.words):
            return MEASUREMENTS[part].seeds
        return seeds_in(self.words)

    def error(self) -> str | None:
        """Return a message about the first error in the command line; None without one."""
        valid = {*PARTS, *self.strategies, *self.changes}
        if unknown := [word for word in self.words if word not in valid and not word.isdecimal()]:
            return f"{', '.join(unknown)} is no part, no strategy, no seed and no setting"
        for part in self.parts:
            if self.strategies and not self.strategies_of(part):
                return f"{part} has no {' and no '.join(self.strategies)}"
        try:
            parse_changes(self.changes)
        except ValueError as error:
            return str(error)
        return None


def main(words: Sequence[str]) -> int:
    """Return the exit code: 0 if the results agree, 1 if any does not, 2 if nothing was measured."""
    options = Options(words)
    if error := options.error():
        fail(error, __doc__)
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
        yield {"strategies": {strategy: origin | arms.compare(part, strategy, seeds, options.changes)}}


def measure_part(part: str, seeds: Sequence[int]) -> Results:
    if part == CURVES:
        return {"strategies": call_in_subprocess("bench.trainer.loss_curves", "compare")}
    measure_seed = tlplug_alone.second_run if part == SECOND else tlplug_alone.forgetting
    return {"runs": {str(seed): measure_seed(seed) for seed in seeds}}


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
    files.save(file, merge(files.load(file), part, results), page)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
