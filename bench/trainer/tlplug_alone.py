"""Measure tlplug alone: what the second run of a task computes again, and what each strategy forgets.

`second_run` runs lora with the default baselines twice with one cache, in two run directories. `forgetting` adapts
SmolLM2-135M to SciTLDR at low and high learning rates and computes its NLL of a beekeeper's handbook (the preset
`beekeeping`), which has nothing to do with the abstracts.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from tempfile import TemporaryDirectory

from bench.processes import UNPACKED, Figures, make_cache, measure
from bench.settings import DATA, SMOLLM2, Settings
from bench.trainer.measurements import MEASUREMENTS, data_words, to_words

MEASUREMENT = MEASUREMENTS["sst2"]
RATES = {"lora": "5e-4", "full": "5e-5", "full at a high rate": "5e-4"}
"""The name of a run, whose first word is the strategy -> its learning rate."""


def second_run(seed: int, rows: int = 1000) -> dict[str, Figures]:
    """Return the figures of both runs; `computed` counts the entries that each added to the cache, by kind."""
    with TemporaryDirectory() as home:
        cache = make_cache(Path(home) / "task")
        return {name: run_with_cache(seed, rows, Path(home) / name, cache) for name in ("first", "second")}


def run_with_cache(seed: int, rows: int, folder: Path, cache: Path) -> Figures:
    def read(result: Figures) -> Figures:
        scores = result["baselines"] | {"lora": result["scores"]}
        return {"scores": {name: each[MEASUREMENT.scores[0]] for name, each in scores.items()}}

    before = entries(cache)
    process = measure(cached_words(seed, rows, folder), folder / "result.json", read, cache)
    added = Counter(kind for kind, _, _ in entries(cache) - before)
    return {**process, "computed": dict(sorted(added.items()))}


def cached_words(seed: int, rows: int, folder: Path) -> list[str]:
    data = data_words(MEASUREMENT.data_settings(Settings(rows=rows)))
    values = {
        "model.source": MEASUREMENT.model,
        **data,
        "trainer.accelerator": "cpu",
        "seed": seed,
        "run_dir": folder,
    }
    return ["tlplug", "+strategy=lora", f"+task={MEASUREMENT.task}", *to_words(values)]


def entries(cache: Path) -> set[tuple[str, str, int]]:
    """Return kind, name and time of each entry of the cache, so that one written again is new; locks are hidden files."""
    paths = (path for path in cache.glob("*/*") if path.parent.name != UNPACKED and path.name[0] != ".")
    return {(path.parent.name, path.name, path.stat().st_mtime_ns) for path in paths}


def forgetting(seed: int = 0) -> Figures:
    """Return the figures of each run by its name."""
    return {name: run_and_forget(name, seed) for name in RATES}


def run_and_forget(name: str, seed: int) -> Figures:
    with TemporaryDirectory() as home:
        folder = Path(home) / "run"
        words = forgetting_words(name, seed, folder)
        figures = measure(words, folder / "result.json", forgetting_figures, make_cache(folder))
    return {"learning_rate": float(RATES[name]), **figures}


def forgetting_words(name: str, seed: int, folder: Path) -> list[str]:
    return f"""
        tlplug +strategy={name.partition(" ")[0]} +task=summarization seed={seed} run_dir={folder}
        data=files data.path={DATA}/scitldr data.splits.test=validation
        data.columns.document=document data.columns.summary=summary data.limit.train=100
        data.limit.validation=4 data.limit.test=16 data.max_length=384 data.batch_size=4
        model.source={SMOLLM2} model.sha256=null model.dtype=bfloat16 head.max_new_tokens=40
        trainer.max_epochs=1 trainer.limit_val_batches=0 transfer.baselines=[]
        metric=[source_nll,weight_drift,cka,cost] transfer.source_domain=beekeeping
        optimizer.learning_rate={RATES[name]}
    """.split()


def forgetting_figures(result: Figures) -> Figures:
    metrics = result["metrics"]
    keys = ("before", "after", "change", "change/low", "change/high", "perplexity_ratio")
    return {
        "rougeL": result["scores"]["rougeL"],
        **{key: metrics["source_nll"][key] for key in keys},
        "cka": metrics["cka"]["mean"],
        "relative_change": metrics["weight_drift"]["relative_change"],
        "seconds": result["cost"]["seconds"],
    }
