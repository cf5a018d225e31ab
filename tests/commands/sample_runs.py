"""Folders as finished runs leave them, of scores that a test chooses."""

import json
from pathlib import Path

import numpy as np

from tests.reports.sample_run_data import described
from tlplug.evaluation import evidence

MODEL = "pkg://tiny/model"


def make_run(
    folder, scores, strategy="lora", task="sentiment", seed=1, scratch=None, ids=None, config=None, **others
):
    """A finished run whose examples have these scores; `others` replace keys of its result.json."""
    values = np.asarray(scores, np.float64)
    ids = np.arange(len(values)) if ids is None else np.asarray(ids)
    fields = {"r": 8} if strategy == "lora" else {}
    result = {
        "version": 1,
        "task": task,
        "strategy": strategy,
        "strategy_config": fields,
        "head": "classification",
        "base_model": MODEL,
        "seed": seed,
        "primary_score": "accuracy",
        "higher_is_better": True,
        "display_scale": 100,
        "test_rows": len(values),
        "baseline_descriptions": {},
        "scratch_baseline": None if scratch is None else "scratch",
        "scores": {"accuracy": float(values.mean()), "mcc": 0.5},
        "baselines": {},
        "comparisons": {},
        "metrics": {},
        "advice": [],
        "verdict": {"label": "none", "text": "No verdict.", "baseline": None},
        "cost": {
            "trainable_parameters": {"linear_probe": 10, "lora": 100, "full": 1000}.get(strategy, 50),
            "total_parameters": 1000,
            "seconds": {"linear_probe": 1.0, "lora": 30.0, "full": 90.0}.get(strategy, 5.0)
            + len(str(folder)) / 1e6,
            "peak_memory_mb": 100.0,
            "tokens_per_second": 1000.0,
        },
        "baseline_cost": {},
        "versions": {},
        "plugins": [],
    } | others
    result.setdefault("metric_facts", described(result["metrics"]))
    node = {**result["strategy_config"], "name": strategy, "preset": strategy}
    settings = {
        "strategy": node,
        "seed": seed,
        "run_dir": str(folder),
        "data": {"batch_size": 16},
        **(config or {}),
    }
    recorded = {
        "primary_score": result["primary_score"],
        "ids": ids,
        "targets": [{"label": "positive" if number % 2 else "negative"} for number in ids.tolist()],
        "example_scores/after": values,
    }
    if scratch is not None:
        recorded["example_scores/baseline/scratch"] = np.asarray(scratch, np.float64)
    folder = Path(folder)
    evidence.write(recorded, folder / "evidence")
    (folder / "config.yaml").write_text(json.dumps(settings))
    rows = [{"id": number, "text": f"row {number}", "prediction": "positive"} for number in ids.tolist()]
    (folder / "predictions.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (folder / "result.json").write_text(json.dumps(result))
    return folder


def right(share, examples=100, seed=0):
    """Scores of 0 and 1, about this share of them 1."""
    hard = np.random.default_rng(0).random(examples)
    noise = np.random.default_rng(seed + 1).normal(0, 0.08, examples)
    return (hard + noise < share).astype(float)


def make_sweep(folder, shares=None, tasks=("sentiment",), seeds=(1, 2, 3), scratch=0.6):
    """Strategies x tasks x seeds, numbered as a sweep numbers its jobs."""
    shares = shares or {"linear_probe": 0.7, "lora": 0.85, "full": 0.86}
    number = 0
    for task in tasks:
        for place, (strategy, share) in enumerate(shares.items()):
            for seed in seeds:
                make_run(
                    Path(folder) / str(number),
                    right(share, seed=10 * place + seed),
                    strategy,
                    task,
                    seed,
                    scratch=right(scratch, seed=seed),
                )
                number += 1
    return Path(folder)
