"""The same adaptation as users of transformers' Trainer and peft write it: `python -m bench.trainer_arm 0 out.json`.

Of tlplug it uses the finding of the base model's folder and the draw of the training rows, so that both arms
have the same ones. Lightning is not imported: its memory is not this arm's.
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
from transformers import (
    AutoModelForSequenceClassification,
    AutoTokenizer,
    DataCollatorWithPadding,
    PreTrainedTokenizerBase,
    Trainer,
    TrainingArguments,
    set_seed,
)

from bench.settings import DATA, MODEL, Settings
from tlplug.base_model import locate
from tlplug.contracts import DataSettings, LimitSettings, ModelSettings, SplitSettings
from tlplug.data import read_splits

LABELS = ("negative", "positive")


def main(words: Sequence[str]) -> None:
    """Train with the seed `words[0]`, test, and write the figures to the file `words[1]`."""
    seed, out = int(words[0]), Path(words[1])
    settings, folder = Settings(), locate(ModelSettings(source=MODEL))
    rows = read_rows(settings)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    encoded = {name: encode(rows[name], tokenizer, settings.max_length) for name in ("train", "test")}
    set_seed(seed)
    model = with_lora(load(folder), settings.rank, settings.alpha, settings.dropout)
    with TemporaryDirectory() as scratch:
        trainer = Trainer(
            model=model,
            args=arguments(settings, scratch, seed),
            train_dataset=encoded["train"],
            data_collator=DataCollatorWithPadding(tokenizer),
        )
        out.write_text(json.dumps(train_and_test(trainer, encoded["test"])))


def read_rows(settings: Settings) -> dict[str, Any]:
    """The rows that tlplug draws for the same limit."""
    source = DataSettings(
        path=DATA,
        columns={"text": "text", "label": "label"},
        splits=SplitSettings(validation="validation", test="validation"),
        limit=LimitSettings(train=settings.rows),
    )
    return read_splits(source, {"text": "the sentence", "label": "its class"})


def encode(rows: Any, tokenizer: PreTrainedTokenizerBase, max_length: int) -> list[dict[str, Any]]:
    """Token ids and labels, not padded: the collator pads each batch to its longest."""
    tokens = tokenizer([row["text"] for row in rows], truncation=True, max_length=max_length)
    return [
        {**{key: tokens[key][i] for key in tokens}, "label": LABELS.index(row["label"])}
        for i, row in enumerate(rows)
    ]


def load(folder: str) -> nn.Module:
    model: nn.Module = AutoModelForSequenceClassification.from_pretrained(
        folder, num_labels=len(LABELS), dtype="float32"
    )
    return model


def with_lora(model: nn.Module, rank: int, alpha: float, dropout: float) -> nn.Module:
    """Every linear layer of the trunk; peft itself trains the classifier of this kind of task."""
    config = LoraConfig(
        task_type=TaskType.SEQ_CLS,
        r=rank,
        lora_alpha=alpha,
        lora_dropout=dropout,
        target_modules="all-linear",
    )
    wrapped: nn.Module = get_peft_model(model, config)
    return wrapped


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
        "seed": seed,
        "use_cpu": True,
        "report_to": "none",
        "save_strategy": "no",
    }
    return TrainingArguments(**{**given, **changes})


def train_and_test(trainer: Trainer, test: list[dict[str, Any]]) -> dict[str, float]:
    started = time.perf_counter()
    trainer.train()
    seconds = time.perf_counter() - started
    found = trainer.predict(test)
    return {
        "accuracy": float((found.predictions.argmax(-1) == found.label_ids).mean()),
        "train_seconds": seconds,
        "trainable_parameters": sum(p.numel() for p in trainer.model.parameters() if p.requires_grad),
    }


if __name__ == "__main__":
    main(sys.argv[1:])
