"""Measure how time and memory grow: python -m bench.scaling [part ...]

Parts: rows, loader, length, batch, strategies, processes. Each is written to
bench/scaling/scaling.json and bench/scaling/scaling.md after each measurement; other parts keep their figures.
"""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from bench import results
from bench.processes import Figures, call_in_subprocess, measure_command
from bench.scaling.data import write_rows
from bench.scaling.page import page
from bench.settings import MINILM, select

FILE = Path(__file__).with_name("scaling.json")
ROWS = (1_000, 10_000, 100_000, 1_000_000)
LENGTHS = (16, 32, 64, 128, 256)
BATCHES = (4, 8, 16, 32, 64)
STRATEGIES = ("linear_probe", "bitfit", "lora")
TOKENS, STEPS = 2048, 12
"""The tokens of a batch where texts grow; the steps of a fit where texts or batches grow."""
FIT_ONLY = f"""
    +task=sentiment trainer.accelerator=cpu transfer.baselines=[] logger=[] metric=[cost]
    evidence.max_rows=0 evidence.weight_changes=false trainer.limit_val_batches=0 data.limit.test=8
    model.source={MINILM} trainer.max_steps={STEPS}
""".split()
"""A fit and a short test, without evidence and baselines."""
TWENTY_STEPS = [
    "+strategy=full",
    "+task=sentiment",
    "model=custom",
    "trainer.accelerator=cpu",
    "trainer.max_steps=20",
    "trainer.limit_val_batches=0",
]
COMPARISON = [
    "+task=sentiment",
    "seeds=1",
    "stop_early=false",
    "trainer.max_epochs=1",
    "trainer.accelerator=cpu",
    "data.limit.train=96",
    "data.limit.validation=32",
    "data.limit.test=64",
]
GrowingFigures = Iterator[tuple[str, Figures]]


def rows(folder: Path) -> GrowingFigures:
    """Measure the stages of a task, first and from the cache, and the whole command with its evidence."""
    call_in_subprocess("bench.scaling.data", "make_tiny", folder / "tiny")
    for count in ROWS:
        data, cache = write_rows(folder / str(count), count), folder / f"{count}.cache"
        words = [*TWENTY_STEPS, f"model.source={folder / 'tiny'}", f"data.path={data}"]
        command = ["tlplug", *words, "transfer.baselines=[trivial]", f"run_dir={folder / f'{count}.run'}"]
        stages = {run: measure_stages(folder, words, cache) for run in ("first", "again")}
        file_mb = (data / "train.jsonl").stat().st_size / 2**20
        yield str(count), {"file_mb": file_mb, **stages, "command": measure_command(command, cache)}


def measure_stages(folder: Path, words: list[str], cache: Path) -> Figures:
    out = folder / "stages.json"
    measure_command(["bench.scaling.stages", str(out), *words], cache)
    stages: Figures = json.loads(out.read_text(encoding="utf-8"))
    return stages


def loader(folder: Path) -> GrowingFigures:
    """Measure reading and collating batches without a model."""
    call_in_subprocess("bench.scaling.data", "make_tiny", folder / "tiny")
    for count in ROWS[1:]:
        data = write_rows(folder / str(count), count)
        words = [*TWENTY_STEPS, f"model.source={folder / 'tiny'}", f"data.path={data}"]
        stages = measure_stages(folder, words, folder / f"{count}.cache")
        yield str(count), {name: stages[name] for name in ("collate", "collated")}


def length(folder: Path) -> GrowingFigures:
    """Measure batches of the same number of tokens in fewer and longer texts."""
    for tokens in LENGTHS:
        data = write_rows(folder / str(tokens), TOKENS // tokens * STEPS, tokens)
        words = ["+strategy=lora", f"data.path={data}", f"data.tokens_per_batch={TOKENS}"]
        yield str(tokens), measure_fit(folder / f"run-{tokens}", words)


def batch(folder: Path) -> GrowingFigures:
    """Measure batches of more rows, on the task that ships."""
    for size in BATCHES:
        words = ["+strategy=lora", f"data.batch_size={size}"]
        yield str(size), measure_fit(folder / f"run-{size}", words)


def strategies(folder: Path) -> GrowingFigures:
    """Measure comparisons of one, two and three strategies, each with an empty cache."""
    for count in range(1, len(STRATEGIES) + 1):
        run = folder / f"run-{count}"
        names = ",".join(STRATEGIES[:count])
        words = ["compare", f"strategies=[{names}]", *COMPARISON, f"run_dir={run}"]
        process = measure_command(["tlplug", *words], run.with_suffix(".cache"))
        result = json.loads((run / "compare.json").read_text(encoding="utf-8"))
        yield names, process | {"fits": [fit_of(each) for each in result["strategies"]]}


def fit_of(strategy: Figures) -> Figures:
    cost = strategy["runs"][0]["cost"]
    return {"strategy": strategy["name"], "cpu_seconds": cost["cpu_seconds"]}


def processes(folder: Path) -> GrowingFigures:
    """Measure the same batches in one process and in two that take half of each."""
    for strategy in ("lora", "full"):
        for count in (1, 2):
            words = [f"+strategy={strategy}", f"trainer.devices={count}", f"data.batch_size={16 // count}"]
            ddp = ["trainer.strategy=ddp"] if count > 1 else []
            yield f"{strategy}, {count}", measure_fit(folder / f"run-{strategy}-{count}", [*words, *ddp])


def measure_fit(run: Path, words: list[str]) -> Figures:
    """Run a few steps with MiniLM and return the cost of the whole process and of its fit."""
    process = measure_command(["tlplug", *words, *FIT_ONLY, f"run_dir={run}"], run.with_suffix(".cache"))
    cost = json.loads((run / "result.json").read_text(encoding="utf-8"))["cost"]
    return {"process": process, "fit": cost}


PARTS: dict[str, Callable[[Path], GrowingFigures]] = {
    "rows": rows,
    "loader": loader,
    "length": length,
    "batch": batch,
    "strategies": strategies,
    "processes": processes,
}


def main(words: Sequence[str]) -> None:
    command = shlex.join(["python", "-m", "bench.scaling", *words])
    for part in select(words, PARTS, __doc__):
        origin, figures = {"command": command, "machine": results.machine()}, {}
        with TemporaryDirectory() as folder:
            for value, measured in PARTS[part](Path(folder)):
                figures[value] = measured
                save(part, origin | {"found": figures})
                print(part, value, flush=True)


def save(part: str, figures: results.Results) -> None:
    """Write the part's results in place of its earlier ones."""
    parts = results.load(FILE) | {part: figures}
    results.save(FILE, {name: parts[name] for name in PARTS if name in parts}, page)


if __name__ == "__main__":
    main(sys.argv[1:])
