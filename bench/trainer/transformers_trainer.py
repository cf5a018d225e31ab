"""Run the same adaptation as users of transformers' Trainer and peft write it.

    python -m bench.trainer.transformers_trainer MEASUREMENT STRATEGY SEED OUT [tuned] [SETTING=VALUE ...]

Untuned: float32, random batches, each padded to its longest example. Tuned: bfloat16 where the processor supports it, and
examples grouped by length. The figures are written to the file OUT. The base model's folder, the drawn rows and the
bfloat16 support come from tlplug, so that all arms have the same ones. Lightning is not imported, since its memory is not
this arm's.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from peft import LoraConfig, TaskType, get_peft_model, prepare_model_for_kbit_training
from torch import nn
from torch.nn import functional
from transformers import AutoModel, AutoTokenizer, BitsAndBytesConfig, Trainer, TrainingArguments, set_seed

from bench.processes import timed
from bench.settings import Settings, parse_changes
from bench.trainer.measurements import MEASUREMENTS, Measurement
from bench.trainer.tasks import TASKS, Task
from tlplug.data.read import read_splits
from tlplug.models.locate import locate
from tlplug.models.precision import cpu_bfloat16_instructions
from tlplug.settings import ModelSettings

QA_HEAD = "qa_outputs"
"""peft trains the head of a task type, but takes this one for a linear layer of the trunk."""
HALF = cpu_bfloat16_instructions() is not None
TUNED = {"bf16": HALF, "train_sampling_strategy": "group_by_length"}
TUNE = "tuned"
"""The word that selects the tuned arm."""


def main(words: Sequence[str]) -> None:
    name, strategy, seed, out, *others = words
    measurement = MEASUREMENTS[name]
    settings = measurement.settings_of(strategy, parse_changes(word for word in others if word != TUNE))
    figures = adapt(measurement, strategy, settings, int(seed), tuned=TUNE in others)
    Path(out).write_text(json.dumps(figures), encoding="utf-8")


def adapt(
    measurement: Measurement, strategy: str, settings: Settings, seed: int, tuned: bool
) -> dict[str, float]:
    """Load, train and test; return the figures."""
    folder = locate(ModelSettings(source=measurement.model))
    rows = read_splits(measurement.data_settings(settings), dict.fromkeys(measurement.columns, "a column"))
    tokenizer = AutoTokenizer.from_pretrained(folder)
    task = TASKS[measurement.task](rows, tokenizer, settings, measurement.head)
    set_seed(seed)
    model = model_for(strategy, task, folder, settings, tuned)
    with TemporaryDirectory() as scratch:
        trainer = build_trainer(task, model, settings, scratch, seed, tuned)
        costs = timed(trainer.train)
        return {
            **task.scores(trainer),
            **costs,
            "trainable_parameters": sum(p.numel() for p in model.parameters() if p.requires_grad),
        }


def model_for(strategy: str, task: Task, folder: str, settings: Settings, tuned: bool) -> nn.Module:
    """Return the base model with the strategy's trainable weights."""
    if strategy == "linear_probe":
        return MeanPooledProbe(folder, task.config_values["num_labels"])
    model: nn.Module = load_in_4bit(task, folder, tuned) if strategy == "qlora" else task.load(folder)
    if strategy == "full":
        return model
    return with_lora(model, task.kind, settings.rank, settings.alpha, settings.dropout)


class MeanPooledProbe(nn.Module):
    """A linear classifier on the mean of a frozen trunk's states over the real tokens."""

    def __init__(self, folder: str, labels: int) -> None:
        super().__init__()
        self.trunk = AutoModel.from_pretrained(folder, add_pooling_layer=False).requires_grad_(False)
        self.classifier = nn.Linear(self.trunk.config.hidden_size, labels)

    def train(self, mode: bool = True) -> MeanPooledProbe:
        """Set the mode, but keep the frozen trunk in eval mode, without dropout."""
        super().train(mode)
        self.trunk.eval()
        return self

    def forward(
        self,
        input_ids: torch.Tensor,
        attention_mask: torch.Tensor,
        token_type_ids: torch.Tensor | None = None,
        labels: torch.Tensor | None = None,
    ) -> dict[str, torch.Tensor]:
        with torch.no_grad():
            states = self.trunk(input_ids, attention_mask, token_type_ids).last_hidden_state
        real = attention_mask.unsqueeze(-1).to(states.dtype)
        logits = self.classifier((states * real).sum(1) / real.sum(1))
        if labels is None:
            return {"logits": logits}
        return {"loss": functional.cross_entropy(logits, labels), "logits": logits}


def load_in_4bit(task: Task, folder: str, tuned: bool) -> Any:
    """Load the model as in peft's guide to QLoRA, without gradient checkpointing, which no model here needs.

    Args:
        tuned: multiply in bfloat16 where the rest of the model does.
    """
    quantization = BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=torch.bfloat16 if tuned and HALF else torch.float32,
        llm_int8_skip_modules=[task.head_module],
    )
    model = task.load(folder, quantization_config=quantization)
    return prepare_model_for_kbit_training(model, use_gradient_checkpointing=False)


def with_lora(model: nn.Module, kind: TaskType, r: int, lora_alpha: float, lora_dropout: float) -> nn.Module:
    """Add LoRA to every linear layer of the trunk; peft itself trains the head of the task type."""
    config = LoraConfig(
        task_type=kind,
        r=r,
        lora_alpha=lora_alpha,
        lora_dropout=lora_dropout,
        target_modules="all-linear",
        exclude_modules=[QA_HEAD] if kind == TaskType.QUESTION_ANS else None,
    )
    adapted: nn.Module = get_peft_model(model, config)
    return adapted


def build_trainer(
    task: Task, model: nn.Module, settings: Settings, folder: str, seed: int, tuned: bool
) -> Trainer:
    features = task.features()
    warmup = round(settings.warmup * settings.steps(len(features)))
    return Trainer(
        model=model,
        args=arguments(settings, folder, seed, warmup_steps=warmup, **(TUNED if tuned else {})),
        train_dataset=features,
        data_collator=task.collator,
    )


def arguments(settings: Settings, folder: str | Path, seed: int, **changes: Any) -> TrainingArguments:
    defaults: dict[str, Any] = {
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
    return TrainingArguments(**(defaults | changes))


if __name__ == "__main__":
    main(sys.argv[1:])
