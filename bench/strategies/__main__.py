"""Every strategy on the same rows: score, share of the weights that move, memory and time.

    python -m bench.strategies                 all, with seeds 0, 1 and 2, one after another
    python -m bench.strategies lora bitfit 0   these, one seed
    python -m bench.strategies jobs=2          two at a time, a thread each

SST-2 (../shared/data/sst2), 1000 training rows drawn by data.seed, tested on the 872 sentences of its validation file,
MiniLM, each strategy with its own optimizer defaults. What is measured is written to bench/strategies/strategies.json
and bench/strategies/strategies.md at once; runs that are not asked for keep what they had there.
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
from bench.strategies.result_store import Results, keep
from bench.subprocess_call import empty_cache, measured

SEEDS = [0, 1, 2]
WORDS = [
    *("+task=sentiment", f"data.path={DATA}/sst2", "data.limit.train=1000", "data.splits.validation=0.1"),
    *("data.splits.test=validation", "data.batch_size=16", "data.max_length=64", "trainer.max_epochs=2"),
    *("trainer.accelerator=cpu", "trainer.limit_val_batches=0", "transfer.baselines=[]", "logger=[]"),
]
VARIANTS: dict[str, list[str]] = {
    **{
        name: [f"+strategy={name}"]
        for name in (
            *("linear_probe", "prompt_tuning", "ia3", "bitfit", "prefix_tuning", "last_layers"),
            *("bottleneck_adapter", "lora", "rslora", "lora_plus", "dora", "pissa", "qlora"),
            *("gradual_unfreezing", "mixout", "l2_sp", "feature_distillation", "full"),
        )
    },
    # Without validation in the course of the training, stages go by steps: of 126, each of the eight has 14.
    "gradual_unfreezing": ["+strategy=gradual_unfreezing", "strategy.every_steps=14"],
    "full, layer_decay=0.8": ["+strategy=full", "strategy.layer_decay=0.8"],
    "scratch": ["+strategy=scratch"],
}
"""Least invasive first."""


def main(words: Sequence[str]) -> int:
    names = [word for word in words if word in VARIANTS] or list(VARIANTS)
    seeds = [int(word) for word in words if word.isdecimal()] or SEEDS
    jobs = [word.removeprefix("jobs=") for word in words if word.startswith("jobs=")]
    strange = [w for w in words if w not in VARIANTS and not w.isdecimal() and not w.startswith("jobs=")]
    if strange or not all(number.isdecimal() for number in jobs):
        print(f"bench: {', '.join(strange or jobs)} is not known\n\n{__doc__}", file=sys.stderr)
        return 2
    if not (ROOT / DATA / "sst2").is_dir():
        print(f"bench: there is no {DATA}/sst2", file=sys.stderr)
        return 2
    lock = Lock()
    with ThreadPoolExecutor(int(jobs[-1]) if jobs else 1) as pool:
        cells = [(name, seed) for seed in seeds for name in names]
        done = pool.map(lambda cell: take(*cell, lock), cells)
        return int(not all(list(done)))


def run(name: str, seed: int) -> Results | None:
    """The figures of one process; None where it failed, which is said."""
    with TemporaryDirectory() as folder:
        place = Path(folder) / "run"
        words = ["tlplug", *VARIANTS[name], *WORDS, f"seed={seed}", f"run_dir={place}"]

        def figures() -> Results:
            result = json.loads((place / "result.json").read_text(encoding="utf-8"))
            share = result["cost"]["trainable_parameters"] / result["cost"]["total_parameters"]
            return {
                "accuracy": result["scores"]["accuracy"],
                "share": share,
                "train_seconds": result["cost"]["seconds"],
            }

        try:
            return measured(words, figures, cache=empty_cache(place))
        except RuntimeError as error:
            print(f"bench: {name}, seed {seed}: {error}", file=sys.stderr)
            return None


def take(name: str, seed: int, lock: Lock) -> bool:
    """Run it and keep what it gave; False where it failed."""
    found = run(name, seed)
    if found is None:
        return False
    with lock:
        keep("strategies", VARIANTS, (name, seed), found, machine(), page)
    print(name, seed, f"{found['accuracy']:.4f}", f"{found['train_seconds']:.0f} s", flush=True)
    return True


def page(known: Results) -> str:
    head = ["strategy", "accuracy", "each seed", "moves", "CPU s", "peak MB"]
    return (
        "\n\n".join(
            [
                "# Strategies side by side",
                "SST-2, 1000 training rows, 872 test rows, MiniLM, two epochs of batches of 16, each with its own "
                "optimizer defaults, which were not tuned on these rows: a method that wants more epochs or another rate, "
                "such as prompt tuning, is seen here as it comes. Accuracy is the mean over the seeds, in percent; all else "
                "are medians. CPU seconds (one thread) and peak resident memory are of the whole process, its start and "
                "its test included. On a model this small the libraries take most of the memory.",
                f"`python -m bench.strategies`, with {listed(known['machine'])}.",
                table(head, [row(name, list(seeds.values())) for name, seeds in known["runs"].items()]),
                "The command of a row, for seed 0 (run_dir wherever you like), with the words of its strategy in front:",
                "\n".join(f"    python -m tlplug {' '.join(VARIANTS[name])} ..." for name in known["runs"]),
                f"where `...` is `{' '.join(WORDS)} seed=0`.",
            ]
        )
        + "\n"
    )


def row(name: str, runs: list[Results]) -> list[str]:
    scores = [100 * found["accuracy"] for found in runs]

    def middle(figure: str) -> float:
        return statistics.median(found[figure] for found in runs)

    return [
        name,
        f"{statistics.mean(scores):.1f}",
        ", ".join(f"{score:.1f}" for score in scores),
        f"{100 * middle('share'):.3g}%",
        f"{middle('process_cpu_seconds'):.0f}",
        f"{middle('peak_memory_mb'):.0f}",
    ]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
