"""Measure every strategy on the same rows: accuracy, share of trainable weights, memory and time.

    python -m bench.strategies                 all, with seeds 0, 1 and 2, one after another
    python -m bench.strategies lora bitfit 0   these, one seed
    python -m bench.strategies jobs=2          two at a time, a thread each

SST-2 (../shared/data/sst2), 1000 training rows drawn by data.seed, tested on the 872 sentences of its validation file,
MiniLM, each strategy with its own optimizer defaults. Each run is written to bench/strategies/strategies.json and
bench/strategies/strategies.md as soon as it is measured; other runs keep their figures.
"""

from __future__ import annotations

import json
import statistics
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Lock

from bench.machine import machine
from bench.markdown import listed, table
from bench.settings import DATA, ROOT
from bench.strategies.result_store import Results, ResultStore
from bench.subprocess_call import make_cache, measure

SEEDS = [0, 1, 2]
WORDS = [
    "+task=sentiment",
    f"data.path={DATA}/sst2",
    "data.limit.train=1000",
    "data.splits.validation=0.1",
    "data.splits.test=validation",
    "data.batch_size=16",
    "data.max_length=64",
    "trainer.max_epochs=2",
    "trainer.accelerator=cpu",
    "trainer.limit_val_batches=0",
    "transfer.baselines=[]",
    "logger=[]",
]
DEFAULTS = (
    "linear_probe prompt_tuning ia3 bitfit prefix_tuning last_layers bottleneck_adapter lora rslora lora_plus dora "
    "pissa qlora gradual_unfreezing mixout l2_sp feature_distillation full"
)
VARIANTS: dict[str, list[str]] = {
    **{name: [f"+strategy={name}"] for name in DEFAULTS.split()},
    # Without validation during training the stages go by steps: each of the eight has 14 of 126.
    "gradual_unfreezing": ["+strategy=gradual_unfreezing", "strategy.every_steps=14"],
    "full, layer_decay=0.8": ["+strategy=full", "strategy.layer_decay=0.8"],
    "scratch": ["+strategy=scratch"],
}
"""The words of each variant, the least invasive first."""


def main(words: Sequence[str]) -> int:
    names = [word for word in words if word in VARIANTS] or list(VARIANTS)
    seeds = [int(word) for word in words if word.isdecimal()] or SEEDS
    jobs = [word.removeprefix("jobs=") for word in words if word.startswith("jobs=")]
    unknown = [w for w in words if w not in VARIANTS and not w.isdecimal() and not w.startswith("jobs=")]
    if unknown or not all(number.isdecimal() for number in jobs):
        print(f"bench: unknown word: {', '.join(unknown or jobs)}\n\n{__doc__}", file=sys.stderr)
        return 2
    if not (ROOT / DATA / "sst2").is_dir():
        print(f"bench: there is no {DATA}/sst2", file=sys.stderr)
        return 2
    lock = Lock()
    with ThreadPoolExecutor(int(jobs[-1]) if jobs else 1) as pool:
        runs = [pool.submit(measure_run, name, seed, lock) for seed in seeds for name in names]
        return int(False in [run.result() for run in runs])


def run(name: str, seed: int) -> Results | None:
    """Return the figures of one process; print its error and return None if it failed."""
    with TemporaryDirectory() as home:
        folder = Path(home) / "run"
        words = ["tlplug", *VARIANTS[name], *WORDS, f"seed={seed}", f"run_dir={folder}"]

        def figures() -> Results:
            result = json.loads((folder / "result.json").read_text(encoding="utf-8"))
            share = result["cost"]["trainable_parameters"] / result["cost"]["total_parameters"]
            return {
                "accuracy": result["scores"]["accuracy"],
                "share": share,
                "train_seconds": result["cost"]["seconds"],
            }

        try:
            return measure(words, figures, cache=make_cache(folder))
        except RuntimeError as error:
            print(f"bench: {name}, seed {seed}: {error}", file=sys.stderr)
            return None


def measure_run(name: str, seed: int, lock: Lock) -> bool:
    """Run and save the figures; return False if the run failed."""
    figures = run(name, seed)
    if figures is None:
        return False
    with lock:
        ResultStore("strategies", VARIANTS, page).save(name, seed, figures, machine())
    print(name, seed, f"{figures['accuracy']:.4f}", f"{figures['train_seconds']:.0f} s", flush=True)
    return True


def page(results: Results) -> str:
    head = ["strategy", "accuracy", "each seed", "trainable", "CPU s", "peak MB"]
    parts = [
        "# Strategies side by side",
        "SST-2, 1000 training rows, 872 test rows, MiniLM, two epochs of batches of 16, each with its own optimizer "
        "defaults, which were not tuned on these rows: a method that needs more epochs or another learning rate, such "
        "as prompt tuning, is at a disadvantage. Accuracy is the mean over the seeds, in percent; the other figures "
        "are medians. CPU seconds (one thread) and peak resident memory are of the whole process, with its start and "
        "its test. On a model this small the libraries take most of the memory.",
        f"`python -m bench.strategies`, with {listed(results['machine'])}.",
        table(head, [row(name, list(seeds.values())) for name, seeds in results["runs"].items()]),
        "The command of a row for seed 0 (run_dir is wherever you like) starts with the words of its strategy:",
        "\n".join(f"    python -m tlplug {' '.join(VARIANTS[name])} ..." for name in results["runs"]),
        f"where `...` is `{' '.join(WORDS)} seed=0`.",
    ]
    return "\n\n".join(parts) + "\n"


def row(name: str, runs: list[Results]) -> list[str]:
    scores = [100 * run["accuracy"] for run in runs]

    def median(figure: str) -> float:
        return statistics.median(run[figure] for run in runs)

    return [
        name,
        f"{statistics.mean(scores):.1f}",
        ", ".join(f"{score:.1f}" for score in scores),
        f"{100 * median('share'):.3g}%",
        f"{median('process_cpu_seconds'):.0f}",
        f"{median('peak_memory_mb'):.0f}",
    ]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
