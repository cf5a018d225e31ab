"""The same adaptation as users of transformers' Trainer and peft write it.

    python -m bench.trainer_arm MEASUREMENT STRATEGY SEED OUT [SETTING=VALUE ...]

The figures go to the file OUT. Of tlplug it uses the finding of the base model's folder and the draw of the rows,
so that both arms have the same ones. Lightning is not imported: its memory is not this arm's.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from peft import LoraConfig, TaskType, get_peft_model
from torch import nn
from transformers import AutoTokenizer, Trainer, TrainingArguments, set_seed

from bench.measurements import MEASUREMENTS, ZERO_SHOT, Measurement
from bench.settings import Settings, changed
from bench.trainer_tasks import TASKS, Task
from tlplug.base_model import locate
from tlplug.contracts import ModelSettings
from tlplug.data import read_splits

QA_HEAD = "qa_outputs"
"""peft trains the heads of its kinds of task, but takes this one for a linear layer of the trunk."""


def main(words: Sequence[str]) -> None:
    name, strategy, seed, out, *changes = words
    measurement = MEASUREMENTS[name]
    settings = measurement.settings_of(strategy, changed(changes))
    figures = adapt(measurement, strategy, settings, int(seed))
    Path(out).write_text(json.dumps(figures), encoding="utf-8")


def adapt(measurement: Measurement, strategy: str, settings: Settings, seed: int) -> dict[str, float]:
    """Load, train unless nothing is to be trained, and test."""
    folder = locate(ModelSettings(source=measurement.model))
    rows = read_splits(measurement.data_settings(settings), dict.fromkeys(measurement.columns, "a column"))
    tokenizer = AutoTokenizer.from_pretrained(folder)
    task = TASKS[measurement.task](rows, tokenizer, settings, measurement.head)
    set_seed(seed)
    model = wrapped(task.load(folder), strategy, task.kind, settings)
    with TemporaryDirectory() as scratch:
        trainer = build_trainer(task, model, settings, scratch, seed)
        seconds = 0.0 if strategy == ZERO_SHOT else train(trainer)
        return {
            **task.scores(trainer),
            "train_seconds": seconds,
            "trainable_parameters": sum(p.numel() for p in model.parameters() if p.requires_grad),
        }


def wrapped(model: nn.Module, strategy: str, kind: TaskType, settings: Settings) -> nn.Module:
    """The model with the weights that move by this strategy."""
    if strategy == "lora":
        return with_lora(model, kind, settings.rank, settings.alpha, settings.dropout)
    return model.requires_grad_(strategy != ZERO_SHOT)


def with_lora(model: nn.Module, kind: TaskType, rank: int, alpha: float, dropout: float) -> nn.Module:
    """Every linear layer of the trunk; peft itself trains the head of the kind of task."""
    config = LoraConfig(
        task_type=kind,
        r=rank,
        lora_alpha=alpha,
        lora_dropout=dropout,
        target_modules="all-linear",
        exclude_modules=[QA_HEAD] if kind == TaskType.QUESTION_ANS else None,
    )
    found: nn.Module = get_peft_model(model, config)
    return found


def build_trainer(task: Task, model: nn.Module, settings: Settings, folder: str, seed: int) -> Trainer:
    features = task.features()
    warmup = round(settings.warmup * settings.steps(len(features)))
    return Trainer(
        model=model,
        args=arguments(settings, folder, seed, warmup_steps=warmup),
        train_dataset=features,
        data_collator=task.collator,
    )


def arguments(settings: Settings, folder: str | Path, seed: int, **changes: Any) -> TrainingArguments:
    given: dict[str, Any] = {
        "output_dir": str(folder),
        "num_train_epochs": settings.epochs,
        "per_device_train_batch_size": settings.batch_size,
        "per_device_eval_batch_size": settings.batch_size,
        "learning_rate": settings.learning_rate,
        "lr_scheduler_type": "linear",
        "warmup_steps": round(settings.warmup * settings.steps()),
        "weight_decay": settings.weight_decay,
        "max_grad_norm": settings.clip,
        "bf16": settings.autocast,
        "seed": seed,
        "use_cpu": True,
        "report_to": "none",
        "save_strategy": "no",
    }
    return TrainingArguments(**{**given, **changes})


def train(trainer: Trainer) -> float:
    """The seconds that it took."""
    started = time.perf_counter()
    trainer.train()
    return time.perf_counter() - started


if __name__ == "__main__":
    main(sys.argv[1:])
