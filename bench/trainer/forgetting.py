"""Measure forgetting: adapt SmolLM2-135M to SciTLDR at low and high learning rates, and compute its NLL of other texts.

The source texts are a beekeeper's handbook (the preset `beekeeping`), which has nothing to do with the abstracts.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from bench.settings import DATA, ROOT, SMOLLM2

RUNS = {"lora": "5e-4", "full": "5e-5", "full at a high rate": "5e-4"}
"""The name of a run, whose first word is the strategy -> its learning rate."""
METRICS = "metric=[source_nll,weight_drift,cka,cost]"


def words(name: str, seed: int, folder: Path) -> list[str]:
    return [
        f"+strategy={name.partition(' ')[0]}",
        "+task=summarization",
        f"seed={seed}",
        f"run_dir={folder}",
        "data=files",
        f"data.path={DATA}/scitldr",
        "data.splits.test=validation",
        "data.columns.document=document",
        "data.columns.summary=summary",
        "data.limit.train=100",
        "data.limit.validation=4",
        "data.limit.test=16",
        "data.max_length=384",
        "data.batch_size=4",
        f"model.source={SMOLLM2}",
        "model.sha256=null",
        "model.dtype=bfloat16",
        "head.max_new_tokens=40",
        "trainer.max_epochs=1",
        "trainer.limit_val_batches=0",
        "transfer.baselines=[]",
        METRICS,
        "transfer.source_domain=beekeeping",
        f"optimizer.learning_rate={RUNS[name]}",
    ]


def compare(seed: int = 0) -> dict[str, Any]:
    """Return the figures of each run by its name."""
    return {name: run(name, seed) for name in RUNS}


def run(name: str, seed: int) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as home:
        folder = Path(home) / "run"
        line = [sys.executable, "-m", "tlplug", *words(name, seed, folder)]
        subprocess.run(
            line, check=True, cwd=ROOT, env={**os.environ, "HF_HUB_OFFLINE": "1"}, stdout=sys.stderr
        )
        result = json.loads((folder / "result.json").read_text(encoding="utf-8"))
    return {
        "learning_rate": float(RUNS[name]),
        "rougeL": result["scores"]["rougeL"],
        **{key: result["metrics"]["source_nll"][key] for key in ("before", "after", "change")},
        **{key: result["metrics"]["source_nll"][key] for key in ("change/low", "change/high")},
        "perplexity_ratio": result["metrics"]["source_nll"]["perplexity_ratio"],
        "cka": result["metrics"]["cka"]["mean"],
        "relative_change": result["metrics"]["weight_drift"]["relative_change"],
        "seconds": result["cost"]["seconds"],
        "command": "python -m tlplug " + " ".join(words(name, seed, Path("FOLDER"))),
    }
