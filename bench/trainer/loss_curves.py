"""Compare the loss curves of tlplug and transformers' Trainer: no dropout, the same order, the same first weights."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule
from lightning.pytorch import Trainer as LightningTrainer
from peft import TaskType
from torch import nn
from transformers import AutoModelForSequenceClassification, DataCollatorWithPadding, Trainer

from bench.settings import Settings
from bench.trainer.measurements import MEASUREMENTS, data_words, to_words
from bench.trainer.transformers_trainer import arguments, with_lora
from tlplug.config.compose import Composer
from tlplug.config.job import build
from tlplug.data.datamodule import TransferData
from tlplug.models.locate import locate
from tlplug.runs.prepare import prepare
from tlplug.runtime.console import Reporter
from tlplug.settings import ModelSettings, OptimizerSettings
from tlplug.training.fit import Prepared, TrainingHooks, adapt

MEASUREMENT = MEASUREMENTS["sst2"]
"""The measurement whose data and base model are used."""
LABELS = 2
STEPS, SEED = 40, 0
TOLERANCE = 1e-4
NO_DROPOUT = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
FIELDS: dict[str, dict[str, Any]] = {"full": {}, "lora": {"r": 8, "lora_alpha": 16.0, "lora_dropout": 0.0}}
"""The strategies whose curves are compared -> the fields of each."""


class Recorder(Callback):
    """A callback that records the weights before the first step and the loss of every step."""

    def __init__(self) -> None:
        self.weights: dict[str, torch.Tensor] = {}
        self.losses: list[float] = []

    def on_train_start(self, trainer: LightningTrainer, pl_module: Any) -> None:
        self.weights = {name: value.clone() for name, value in pl_module.model.state_dict().items()}

    def on_train_batch_end(
        self, trainer: LightningTrainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        self.losses.append(float(outputs["loss"]))


class RecordingTrainer(Trainer):  # type: ignore[misc]
    """A Trainer that records each step's loss before it is averaged for the log."""

    def training_step(self, *args: Any, **kwargs: Any) -> torch.Tensor:
        loss: torch.Tensor = super().training_step(*args, **kwargs)
        self.losses = [*getattr(self, "losses", []), float(loss)]
        return loss


def compare() -> dict[str, Any]:
    """Return the curves of every strategy on the packaged base model."""
    settings = Settings(rows=STEPS * Settings.batch_size)
    words = to_words(data_words(MEASUREMENT.data_settings(settings)))
    with TemporaryDirectory() as folder:
        base = without_dropout(Path(locate(ModelSettings(source=MEASUREMENT.model))), Path(folder) / "base")
        return {name: compare_one(name, settings, [*words, f"model.source={base}"]) for name in FIELDS}


def without_dropout(base: Path, folder: Path) -> Path:
    """Copy a base model with dropout switched off in its config."""
    shutil.copytree(base, folder)
    config = folder / "config.json"
    config.write_text(
        json.dumps(json.loads(config.read_text(encoding="utf-8")) | NO_DROPOUT), encoding="utf-8"
    )
    return folder


def compare_one(name: str, settings: Settings, words: list[str]) -> dict[str, Any]:
    """Return both curves of one strategy with its own optimizer defaults, and the largest difference of a step.

    Args:
        words: the data and the base model on tlplug's command line.
    """
    line = [f"+strategy={name}", "+task=sentiment", *words, *run_words(name, settings)]
    with Composer() as composer:
        job = build(composer.compose(line), line)
    task, recorder = prepare(job, Reporter()), Recorder()
    adapt(task, job.strategy, OptimizerSettings(), TrainingHooks(callbacks=[recorder]))
    theirs = trainer_losses(name, task, settings, job.strategy.optimizer_defaults, recorder.weights)
    largest = max(abs(a - b) for a, b in zip(recorder.losses, theirs, strict=True))
    return {
        "steps": len(theirs),
        "largest_difference": largest,
        "tolerance": TOLERANCE,
        "agree": largest <= TOLERANCE,
        "tlplug": recorder.losses,
        "trainer": theirs,
    }


def run_words(name: str, settings: Settings) -> list[str]:
    return [
        *(f"strategy.{field}={value}" for field, value in FIELDS[name].items()),
        f"data.max_length={settings.max_length}",
        f"data.batch_size={settings.batch_size}",
        "data.batching=rows",
        f"trainer.max_epochs={settings.epochs}",
        f"trainer.gradient_clip_val={settings.clip}",
        "trainer.accelerator=cpu",
        "trainer.precision=32-true",
        "trainer.limit_val_batches=0",
        "trainer.limit_test_batches=1",
        f"seed={SEED}",
    ]


def trainer_losses(
    name: str,
    task: Prepared,
    settings: Settings,
    optimizer: OptimizerSettings,
    weights: dict[str, torch.Tensor],
) -> list[float]:
    """Return the Trainer's loss of every step, from the same weights in the same order."""
    model: nn.Module = AutoModelForSequenceClassification.from_pretrained(
        task.base.path, num_labels=LABELS, dtype="float32"
    )
    if name == "lora":
        model = with_lora(model, TaskType.SEQ_CLS, **FIELDS["lora"])
    model.load_state_dict(weights)
    with TemporaryDirectory() as folder:
        trainer = RecordingTrainer(
            model=model,
            args=arguments(
                settings,
                folder,
                SEED,
                learning_rate=optimizer.learning_rate,
                weight_decay=optimizer.weight_decay,
                train_sampling_strategy="sequential",
                disable_tqdm=True,
            ),
            train_dataset=in_order(task.data),
            data_collator=DataCollatorWithPadding(task.base.tokenizer),
        )
        trainer.train()
    return trainer.losses


def in_order(data: TransferData) -> list[dict[str, Any]]:
    """Return the training features in the order of tlplug's first epoch, without the ids."""
    features = {feature["id"]: feature for feature in data.features["train"]}
    ids = [identity for batch in data.train_batches() for identity in batch["id"].tolist()]
    return [{key: value for key, value in features[identity].items() if key != "id"} for identity in ids]
