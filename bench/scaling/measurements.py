"""What is measured of each part: figures by the value that grows, more of them with each yield."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

from bench.scaling.data import MINILM, write_equal_rows, write_rows
from bench.scaling.memory import Figures, spent
from bench.subprocess_call import apart

ROWS = (1_000, 10_000, 100_000, 1_000_000)
LENGTHS = (16, 32, 64, 128, 256)
BATCHES = (4, 8, 16, 32, 64)
STRATEGIES = ("linear_probe", "bitfit", "lora")
TOKENS, STEPS = 2048, 12
"""Of a batch where texts grow; steps of a fit where texts or batches grow."""
ALONE = (
    *("+task=sentiment", "trainer.accelerator=cpu", "transfer.baselines=[]", "logger=[]", "metric=[cost]"),
    *(
        "evidence.max_rows=0",
        "evidence.weight_changes=false",
        "trainer.limit_val_batches=0",
        "data.limit.test=8",
    ),
    *(f"model.source={MINILM}", f"trainer.max_steps={STEPS}"),
)
"""The fit of a run and a short test; nothing is recorded or compared."""
TWENTY_STEPS = (
    *("+strategy=full", "+task=sentiment", "model=custom", "trainer.accelerator=cpu", "trainer.max_steps=20"),
    "trainer.limit_val_batches=0",
)
COMPARED = (
    *("+task=sentiment", "seeds=1", "stop_early=false", "trainer.max_epochs=1", "trainer.accelerator=cpu"),
    *("data.limit.train=96", "data.limit.validation=32", "data.limit.test=64"),
)
Grown = Iterator[Figures]


def rows(place: Path) -> Grown:
    """The stages of a task, first and from the cache, and the whole command with what it records."""
    apart("bench.scaling.data", "make_tiny", place / "tiny")
    found: Figures = {}
    for count in ROWS:
        data, cache = write_rows(place / str(count), count), place / f"{count}.cache"
        words = [*TWENTY_STEPS, f"model.source={place / 'tiny'}", f"data.path={data}"]
        whole = ["tlplug", *words, "transfer.baselines=[trivial]", f"run_dir={place / f'{count}.run'}"]
        found[str(count)] = {
            "file_mb": (data / "train.jsonl").stat().st_size / 2**20,
            "first": stages(place, words, cache),
            "again": stages(place, words, cache),
            "command": spent(whole, cache),
        }
        yield found


def stages(place: Path, words: list[str], cache: Path) -> Figures:
    out = place / "stages.json"
    spent(["bench.scaling.stages", str(out), *words], cache)
    found: Figures = json.loads(out.read_text(encoding="utf-8"))
    return found


def loader(place: Path) -> Grown:
    """Batches, read and put together without a model."""
    apart("bench.scaling.data", "make_tiny", place / "tiny")
    found: Figures = {}
    for count in ROWS[1:]:
        data = write_rows(place / str(count), count)
        words = [*TWENTY_STEPS, f"model.source={place / 'tiny'}", f"data.path={data}"]
        taken = stages(place, words, place / f"{count}.cache")
        found[str(count)] = {name: taken[name] for name in ("collate", "collated")}
        yield found


def length(place: Path) -> Grown:
    """The same tokens a batch, in fewer and longer texts."""
    found: Figures = {}
    for tokens in LENGTHS:
        data = write_equal_rows(place / str(tokens), TOKENS // tokens * STEPS, tokens)
        words = [f"data.path={data}", f"data.tokens_per_batch={TOKENS}"]
        found[str(tokens)] = fitted(place / f"run-{tokens}", ["+strategy=lora", *words])
        yield found


def batch(place: Path) -> Grown:
    """More rows a batch, of the task that ships."""
    found: Figures = {}
    for size in BATCHES:
        words = ["+strategy=lora", f"data.batch_size={size}"]
        found[str(size)] = fitted(place / f"run-{size}", words)
        yield found


def strategies(place: Path) -> Grown:
    """One comparison of one strategy, of two, of three; each with an empty cache."""
    found: Figures = {}
    for count in range(1, len(STRATEGIES) + 1):
        run = place / f"run-{count}"
        chosen = ",".join(STRATEGIES[:count])
        words = ["compare", f"strategies=[{chosen}]", *COMPARED, f"run_dir={run}"]
        taken = spent(["tlplug", *words], run.with_suffix(".cache"))
        result = json.loads((run / "compare.json").read_text(encoding="utf-8"))
        found[chosen] = taken | {"fits": [fit_of(each) for each in result["strategies"]]}
        yield found


def fit_of(strategy: Figures) -> Figures:
    cost = strategy["runs"][0]["cost"]
    return {"strategy": strategy["name"], "cpu_seconds": cost["cpu_seconds"]}


def processes(place: Path) -> Grown:
    """The same batches in one process and in two that have half of each."""
    found: Figures = {}
    for strategy in ("lora", "full"):
        for count in (1, 2):
            several = ["trainer.strategy=ddp"] if count > 1 else []
            words = [f"+strategy={strategy}", f"trainer.devices={count}", f"data.batch_size={16 // count}"]
            taken = fitted(place / f"run-{strategy}-{count}", [*words, *several])
            found[f"{strategy}, {count}"] = taken
            yield found


def fitted(run: Path, words: list[str]) -> Figures:
    """A run of a few steps with MiniLM: the whole process, and what its result says of its fit."""
    taken = spent(["tlplug", *words, *ALONE, f"run_dir={run}"], run.with_suffix(".cache"))
    cost = json.loads((run / "result.json").read_text(encoding="utf-8"))["cost"]
    return {"process": taken, "fit": cost}


PARTS: dict[str, Callable[[Path], Grown]] = {
    "rows": rows,
    "loader": loader,
    "length": length,
    "batch": batch,
    "strategies": strategies,
    "processes": processes,
}
