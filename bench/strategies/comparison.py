"""Run variants of one command line with several seeds, and store the figures of each run beside earlier ones."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from bench.processes import make_cache, measure
from bench.results import Results, load, machine, save
from bench.settings import seeds_in, select

HERE = Path(__file__).resolve().parent


@dataclass(frozen=True)
class Comparison:
    """The files bench/strategies/<stem>.json and <stem>.md, and the runs whose figures they have."""

    stem: str
    variants: Mapping[str, Sequence[str]]
    """The words of each variant, in the order of the page."""
    words: Sequence[str]
    """The words of all runs."""
    figures: Callable[[Results], Results]
    """Takes the figures of a run from its result.json."""
    page: Callable[[Results], str]

    def main(self, words: Sequence[str], usage: str | None) -> int:
        """Measure the variants and seeds on a command line; return 1 if any run failed."""
        names = select([word for word in words if not word.isdecimal()], self.variants, usage)
        succeeded = [self.measure(name, seed) for seed in seeds_in(words) for name in names]
        return int(not all(succeeded))

    def measure(self, name: str, seed: int) -> bool:
        """Run a variant and save its figures; print its error and return False if it failed."""
        at_start = machine()
        with TemporaryDirectory() as home:
            folder = Path(home) / "run"
            words = ["tlplug", *self.variants[name], *self.words, f"seed={seed}", f"run_dir={folder}"]
            try:
                figures = measure(words, folder / "result.json", self.figures, make_cache(folder))
            except RuntimeError as error:
                print(f"bench: {name}, seed {seed}: {error}", file=sys.stderr)
                return False
        self.save(name, seed, figures, at_start)
        print(name, seed, figures, flush=True)
        return True

    def save(self, name: str, seed: int, figures: Results, at_start: Results) -> None:
        """Write the figures of one run into both files."""
        file = HERE / f"{self.stem}.json"
        results = load(file) or {"runs": {}}
        runs = results["runs"]
        runs.setdefault(name, {})[str(seed)] = figures
        results["machine"] = at_start
        results["runs"] = {each: dict(sorted(runs[each].items())) for each in self.variants if each in runs}
        save(file, results, self.page)
