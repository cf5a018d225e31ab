"""LoRA on 4000 sentences of SST-2: `python -m tlplug` beside transformers' Trainer with peft, a process each."""

from __future__ import annotations

import json
import os
import shlex
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from bench.settings import DATA, MODEL, ROOT, Settings

POINTS = 1.0
"""How far apart the mean accuracies may lie."""
MEBIBYTE = 2**20
KIBIBYTE = 1 if sys.platform == "darwin" else 1024
"""The unit of the peak memory that the system reports of a process."""
Words = list[str]


def compare(seeds: Sequence[int]) -> dict[str, Any]:
    """Both arms by turns for each seed, so that what else the machine does falls on both."""
    arms: dict[str, list[dict[str, Any]]] = {"tlplug": [], "trainer": []}
    with TemporaryDirectory() as folder:
        for seed in seeds:
            for name, arm in (("tlplug", tlplug_arm), ("trainer", trainer_arm)):
                arms[name].append({"seed": seed, **measured(*arm(seed, Path(folder) / f"{name}-{seed}"))})
                print(name, arms[name][-1], flush=True)
    return {"settings": vars(Settings()), **arms, "summary": summary(arms)}


def tlplug_arm(seed: int, folder: Path) -> tuple[Words, Callable[[], dict[str, Any]]]:
    """The command, and what reads its figures; without validation while training, as the other arm."""
    s = Settings()
    command = [
        *("tlplug", "+strategy=lora", "+task=sentiment", f"seed={seed}", f"run_dir={folder}"),
        *(f"model.source={MODEL}", f"data.path={DATA}", f"data.limit.train={s.rows}"),
        *("data.splits.validation=validation", "data.splits.test=validation"),
        *(f"data.max_length={s.max_length}", f"data.batch_size={s.batch_size}"),
        *(f"optimizer.learning_rate={s.learning_rate}", "optimizer.schedule=linear"),
        *(f"optimizer.warmup={s.warmup}", f"optimizer.weight_decay={s.weight_decay}"),
        *(f"strategy.rank={s.rank}", f"strategy.alpha={s.alpha}", f"strategy.dropout={s.dropout}"),
        *(f"trainer.max_epochs={s.epochs}", f"trainer.gradient_clip_val={s.clip}"),
        *("trainer.accelerator=cpu", "trainer.limit_val_batches=0", "transfer.baselines=[]"),
    ]
    return command, lambda: of_result(json.loads((folder / "result.json").read_text(encoding="utf-8")))


def of_result(result: dict[str, Any]) -> dict[str, Any]:
    cost = result["cost"]
    return {
        "accuracy": result["scores"]["accuracy"],
        "train_seconds": cost["seconds"],
        "trainable_parameters": cost["trainable_parameters"],
    }


def trainer_arm(seed: int, folder: Path) -> tuple[Words, Callable[[], dict[str, Any]]]:
    out = folder.with_suffix(".json")
    return ["bench.trainer_arm", str(seed), str(out)], lambda: json.loads(out.read_text(encoding="utf-8"))


def measured(words: Words, figures: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """Run `python -m <words>` from the project's root; its figures with the whole process's time and memory."""
    started = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "-m", *words],
        cwd=ROOT,
        env=os.environ | {"HF_HUB_OFFLINE": "1"},
        stdout=subprocess.DEVNULL,
    )
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        raise RuntimeError(f"exit code {process.returncode}: python -m {shlex.join(words)}")
    return {
        **figures(),
        "process_seconds": time.perf_counter() - started,
        "process_cpu_seconds": usage.ru_utime + usage.ru_stime,
        "peak_memory_mb": usage.ru_maxrss * KIBIBYTE / MEBIBYTE,
        "command": shlex.join(["python", "-m", *words]),
    }


def summary(arms: dict[str, list[dict[str, Any]]]) -> dict[str, float]:
    """Means over the seeds. A ratio is the Trainer's figure over tlplug's, pair by pair: above 1, tlplug is cheaper."""
    ours, theirs = arms["tlplug"], arms["trainer"]
    ratios = {
        f"{key}_ratio": statistics.median(b[key] / a[key] for a, b in zip(ours, theirs, strict=True))
        for key in ("train_seconds", "process_seconds", "process_cpu_seconds", "peak_memory_mb")
    }
    accuracy = {name: statistics.mean(run["accuracy"] for run in runs) for name, runs in arms.items()}
    difference = 100 * (accuracy["tlplug"] - accuracy["trainer"])
    return {**accuracy, "difference_in_points": difference, **ratios}
