"""Define the measurements: data, settings and strategies of each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from bench.settings import DATA, MINILM, ROOT, SMOLLM2, Settings
from tlplug.errors import UsageError
from tlplug.models.locate import locate
from tlplug.settings import DataSettings, LimitSettings, ModelSettings, SplitSettings

LOW_RANK = ("lora", "qlora")
VALIDATED = {"validation": "validation", "test": "validation"}


@dataclass(frozen=True)
class Measurement:
    """One task on one data set, by one strategy or several."""

    title: str
    task: str
    """The preset; the Trainer arms have a class for each."""
    data: str
    """The name of a folder in DATA."""
    columns: tuple[str, ...]
    scores: tuple[str, ...]
    """The score that the arms are compared by, then others that are shown."""
    points: float
    """The largest allowed difference between the medians of tlplug and the Trainer."""
    strategies: dict[str, dict[str, Any]]
    """Name -> changes to `settings`."""
    settings: Settings
    model: str = MINILM
    splits: dict[str, Any] = field(default_factory=lambda: VALIDATED)
    files: tuple[str, ...] = ("train.jsonl", "validation.jsonl")
    head: dict[str, Any] = field(default_factory=dict)
    """The fields of the head's Config."""
    seeds: tuple[int, ...] = (0, 1, 2)

    def settings_of(self, strategy: str, changes: dict[str, Any]) -> Settings:
        return replace(self.settings, **self.strategies[strategy] | changes)

    def data_settings(self, settings: Settings) -> DataSettings:
        """Return the data settings of all arms."""
        limit = settings.test_rows
        return DataSettings(
            path=f"{DATA}/{self.data}",
            columns={name: name for name in self.columns},
            splits=SplitSettings(**self.splits),
            limit=LimitSettings(train=settings.rows, validation=limit, test=limit),
        )

    def words(self, strategy: str, settings: Settings) -> list[str]:
        """Return tlplug's command line: its default precision, and no validation while training, as in the other arms."""
        values = {
            "model.source": self.model,
            **data_words(self.data_settings(settings)),
            "data.max_length": settings.max_length,
            "data.batch_size": settings.batch_size,
            **{f"head.{name}": value for name, value in self.head.items()},
            **training_words(strategy, settings),
            "trainer.accelerator": "cpu",
            "transfer.baselines": "[]",
        }
        return [f"+strategy={strategy}", f"+task={self.task}", *to_words(values)]


def to_words(values: Mapping[str, Any]) -> list[str]:
    """Return `name=value` words, without the values that are None."""
    return [f"{name}={value}" for name, value in values.items() if value is not None]


def data_words(data: DataSettings) -> dict[str, Any]:
    return {
        "data.path": data.path,
        **{f"data.splits.{name}": value for name, value in vars(data.splits).items()},
        **{f"data.limit.{name}": value for name, value in vars(data.limit).items()},
    }


def training_words(strategy: str, settings: Settings) -> dict[str, Any]:
    lora = {
        "strategy.r": settings.rank,
        "strategy.lora_alpha": settings.alpha,
        "strategy.lora_dropout": settings.dropout,
    }
    return {
        "optimizer.learning_rate": settings.learning_rate,
        "optimizer.schedule": "linear",
        "optimizer.warmup": settings.warmup,
        "optimizer.weight_decay": settings.weight_decay,
        **(lora if strategy in LOW_RANK else {}),
        "trainer.max_epochs": settings.epochs,
        "trainer.gradient_clip_val": settings.clip,
        "trainer.limit_val_batches": 0,
    }


MEASUREMENTS = {
    "sst2": Measurement(
        title="MiniLM on SST-2: film sentences, positive or negative",
        task="sentiment",
        data="sst2",
        columns=("text", "label"),
        scores=("accuracy",),
        points=1.0,
        strategies={
            "lora": {},
            "full": {"learning_rate": 5e-5, "weight_decay": 0.01},
            "qlora": {},
            "linear_probe": {"learning_rate": 1e-2, "weight_decay": 0.01, "epochs": 20},
        },
        settings=Settings(),
    ),
    "squad": Measurement(
        title="MiniLM on XQuAD: the span that answers a question",
        task="qa",
        data="squad_like",
        columns=("context", "question", "answers"),
        scores=("f1", "exact_match"),
        points=7.0,
        strategies={
            "lora": {"learning_rate": 2e-3},
            "full": {"learning_rate": 2e-4, "weight_decay": 0.01},
        },
        settings=Settings(rows=None, max_length=256, batch_size=8, epochs=2),
        head={"doc_stride": 64},
    ),
    "scitldr": Measurement(
        title="SmolLM2-135M on SciTLDR: an abstract in one sentence",
        task="summarization",
        data="scitldr",
        columns=("document", "summary"),
        scores=("rougeL", "rouge1", "rouge2"),
        points=3.0,
        strategies={"lora": {}},
        settings=Settings(rows=400, test_rows=24, max_length=192, batch_size=2),
        model=SMOLLM2,
        head={"max_new_tokens": 40},
        seeds=(0,),
    ),
    "vader": Measurement(
        title="LoRA on tweets, which are positive more often than not",
        task="sentiment",
        data="vader",
        columns=("text", "label"),
        scores=("macro_f1", "accuracy"),
        points=3.0,
        strategies={"lora": {}},
        settings=Settings(rows=None, epochs=2),
        splits={"train": "tweets.jsonl", "validation": 0.1, "test": 0.2},
        files=("tweets.jsonl",),
    ),
}


def missing(name: str) -> str | None:
    """Return a message if the data or the base model is missing, else None. Converts a GGUF file."""
    measurement = MEASUREMENTS[name]
    folder = f"{DATA}/{measurement.data}"
    if files := [file for file in measurement.files if not (ROOT / folder / file).is_file()]:
        return f"{folder} (from {ROOT}) has no {' and no '.join(files)}"
    try:
        locate(ModelSettings(source=measurement.model))
    except UsageError as error:
        return str(error)
    return None
