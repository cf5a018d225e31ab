"""Measure every strategy on the same rows: accuracy, share of trainable weights, memory and time.

    python -m bench.strategies                 all, with seeds 0, 1 and 2, one after another
    python -m bench.strategies lora bitfit 0   these, one seed

SST-2 (../shared/data/sst2), 1000 training rows drawn by data.seed, tested on the 872 sentences of its validation file,
MiniLM, each strategy with its own optimizer defaults. Each run is written to bench/strategies/strategies.json and
bench/strategies/strategies.md as soon as it is measured; other runs keep their figures.
"""

from __future__ import annotations

import statistics
import sys

from bench.results import Results, listed, markdown, table
from bench.settings import DATA, require_data
from bench.strategies.comparison import Comparison

WORDS = f"""
    +task=sentiment data.path={DATA}/sst2 data.limit.train=1000 data.splits.validation=0.1
    data.splits.test=validation data.batch_size=16 data.max_length=64 trainer.max_epochs=2
    trainer.accelerator=cpu trainer.limit_val_batches=0 transfer.baselines=[] logger=[]
""".split()
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


def figures(result: Results) -> Results:
    cost = result["cost"]
    return {
        "accuracy": result["scores"]["accuracy"],
        "share": cost["trainable_parameters"] / cost["total_parameters"],
        "train_seconds": cost["seconds"],
    }


def page(results: Results) -> str:
    head = ["strategy", "accuracy", "each seed", "trainable", "CPU s", "peak MB"]
    paragraphs = [
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
    return markdown(paragraphs)


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
    require_data("sst2")
    comparison = Comparison("strategies", variants=VARIANTS, words=WORDS, figures=figures, page=page)
    sys.exit(comparison.main(sys.argv[1:], __doc__))
