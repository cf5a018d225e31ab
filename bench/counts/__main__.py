"""Count what runs compute, in numbers that are the same on every machine: python -m bench.counts

Three runs of the task that ships share one cache: LoRA with its baselines, the same again, and a probe of more epochs.
Writes bench/counts/counts.json; tests/cli/test_counts.py counts again and fails on a further forward pass, padding or
import.
"""

from __future__ import annotations

import json
from pathlib import Path
from tempfile import TemporaryDirectory

from bench.processes import measure_command
from bench.results import Results

FILE = Path(__file__).with_name("counts.json")
KINDS = ("features", "base_features", "frozen", "outcomes")
"""The cache's folders that a run fills for the next one."""
SMALL = ("+task=sentiment", "trainer.accelerator=cpu", "data.limit.train=96", "data.limit.test=40")
LORA = ("+strategy=lora", *SMALL, "trainer.max_epochs=2", "transfer.baselines=[trivial,linear_probe,scratch]")
PROBE = ("+strategy=linear_probe", *SMALL, "trainer.max_epochs=8", "transfer.baselines=[]")
RUNS = {"lora, and its baselines": LORA, "the same again": LORA, "a probe of 8 epochs": PROBE}


def count_runs() -> Results:
    """Return what each of the runs computes and adds to the cache."""
    with TemporaryDirectory() as folder:
        return {name: count_run(Path(folder), i, words) for i, (name, words) in enumerate(RUNS.items())}


def count_run(folder: Path, number: int, words: tuple[str, ...]) -> Results:
    before = count_entries(folder / "cache")
    out = folder / f"{number}.json"
    command = ["bench.counts.count_run", str(out), *words, f"run_dir={folder / str(number)}"]
    measure_command(command, folder / "cache")
    added = {kind: count - before[kind] for kind, count in count_entries(folder / "cache").items()}
    return {**json.loads(out.read_text(encoding="utf-8")), "kept": added}


def count_entries(cache: Path) -> dict[str, int]:
    """Return the number of entries of each kind in the cache, without locks."""
    return {kind: sum(not each.name.startswith(".") for each in (cache / kind).glob("*")) for kind in KINDS}


def count_packages() -> int:
    """Return the number of installed packages that are imported at the first training step."""
    from tests.cli.first_step import modules_at_first_step, packages

    with TemporaryDirectory() as folder:
        return len(packages(modules_at_first_step(Path(folder), "task=sentiment", "transfer.baselines=[]")))


def main() -> None:
    counts = {"runs": count_runs(), "packages": count_packages()}
    FILE.write_text(json.dumps(counts, indent=2) + "\n", encoding="utf-8")
    print(FILE.read_text(encoding="utf-8"), end="")


if __name__ == "__main__":
    main()
