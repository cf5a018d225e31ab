"""Encode and score the rows of each task for the Trainer arms, as transformers' own examples do.

The libraries that score a task are imported where they are used, so that no arm pays for another's.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any, ClassVar

import numpy as np
import torch
from peft import TaskType
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoModelForQuestionAnswering,
    AutoModelForSequenceClassification,
    DataCollatorForSeq2Seq,
    DataCollatorWithPadding,
    PreTrainedTokenizerBase,
    Trainer,
)

from bench.settings import Settings

PROMPT = "summarize: {document}"
ROUGE = ("rouge1", "rouge2", "rougeL")
CANDIDATES, MAX_ANSWER_TOKENS = 20, 30
"""The number of starts and of ends that are tried in a window, and the longest answer."""
Context = dict[int, tuple[int, int]]
"""A token of the context in a window -> its start and end character."""
Span = tuple[float, int, int]
"""The score, start and end character."""
Features = list[dict[str, Any]]
Rows = Sequence[Mapping[str, Any]]


@dataclass(frozen=True)
class Task:
    """A task: encode the rows of the splits `train` and `test`, and score the model."""

    auto: ClassVar[Any]
    kind: ClassVar[TaskType]
    head_module: ClassVar[str]
    """The name of the head's module."""
    config_values: ClassVar[Any] = {}
    """The changes to the base model's config."""
    rows: Mapping[str, Rows]
    tokenizer: PreTrainedTokenizerBase
    settings: Settings
    head: Mapping[str, Any]

    @property
    def collator(self) -> Any:
        """The collator, which pads each batch to its longest example."""
        return DataCollatorWithPadding(self.tokenizer)

    def load(self, folder: str, **options: Any) -> Any:
        """Load the base model in float32.

        Args:
            options: passed to `from_pretrained`.
        """
        config = AutoConfig.from_pretrained(folder, **self.config_values)
        # A model converted from GGUF is in float32, but its config still has the quantization, which the Trainer refuses.
        config.__dict__.pop("quantization_config", None)
        return self.auto.from_pretrained(folder, config=config, dtype="float32", **options)

    def features(self) -> Features:
        """Return the features of the training rows, not padded."""
        raise NotImplementedError

    def scores(self, trainer: Trainer) -> dict[str, float]:
        """Return the scores of the test rows, from 0 to 1."""
        raise NotImplementedError


class Classification(Task):
    auto = AutoModelForSequenceClassification
    kind = TaskType.SEQ_CLS
    head_module = "classifier"

    @property
    def labels(self) -> list[str]:
        return sorted({row["label"] for row in self.rows["train"]})

    @property
    def config_values(self) -> dict[str, Any]:
        return {"num_labels": len(self.labels)}

    def features(self) -> Features:
        return self._encode(self.rows["train"])

    def scores(self, trainer: Trainer) -> dict[str, float]:
        from sklearn.metrics import accuracy_score, f1_score

        outputs = trainer.predict(self._encode(self.rows["test"]))
        predicted, labels = outputs.predictions.argmax(-1), outputs.label_ids
        return {
            "accuracy": float(accuracy_score(labels, predicted)),
            "macro_f1": float(f1_score(labels, predicted, average="macro")),
        }

    def _encode(self, rows: Rows) -> Features:
        texts, labels = [row["text"] for row in rows], self.labels
        tokens = self.tokenizer(texts, truncation=True, max_length=self.settings.max_length)
        return [
            {**{key: tokens[key][i] for key in tokens}, "label": labels.index(row["label"])}
            for i, row in enumerate(rows)
        ]


class QuestionAnswering(Task):
    auto = AutoModelForQuestionAnswering
    kind = TaskType.QUESTION_ANS
    head_module = "qa_outputs"

    def features(self) -> Features:
        rows, encoded = self.rows["train"], self._windows(self.rows["train"])
        return [
            self._inputs(encoded, window) | answer_tokens(rows[row]["answers"], context_of(encoded, window))
            for window, row in enumerate(encoded["overflow_to_sample_mapping"])
        ]

    def scores(self, trainer: Trainer) -> dict[str, float]:
        from torchmetrics.functional.text import squad

        rows, encoded = self.rows["test"], self._windows(self.rows["test"])
        owners = encoded["overflow_to_sample_mapping"]
        starts, ends = trainer.predict([self._inputs(encoded, i) for i in range(len(owners))]).predictions
        spans = defaultdict(list)
        for window, row in enumerate(owners):
            spans[row] += spans_of(starts[window], ends[window], context_of(encoded, window))
        predicted = [{"id": str(i), "prediction_text": answer(spans[i], row)} for i, row in enumerate(rows)]
        gold = [{"id": str(i), "answers": row["answers"]} for i, row in enumerate(rows)]
        return {name: float(value) / 100 for name, value in squad(predicted, gold).items()}

    def _windows(self, rows: Rows) -> Any:
        return self.tokenizer(
            [row["question"].lstrip() for row in rows],
            [row["context"] for row in rows],
            truncation="only_second",
            max_length=self.settings.max_length,
            stride=self.head["doc_stride"],
            return_overflowing_tokens=True,
            return_offsets_mapping=True,
        )

    def _inputs(self, encoded: Any, window: int) -> dict[str, Any]:
        return {name: encoded[name][window] for name in self.tokenizer.model_input_names}


class Summarization(Task):
    """Summarization by a decoder with a chat template; the loss covers the summary's tokens only."""

    auto = AutoModelForCausalLM
    kind = TaskType.CAUSAL_LM
    head_module = "lm_head"

    @property
    def collator(self) -> Any:
        return DataCollatorForSeq2Seq(self.tokenizer)

    def features(self) -> Features:
        return [self._example(row) for row in self.rows["train"]]

    def scores(self, trainer: Trainer) -> dict[str, float]:
        from rouge_score.rouge_scorer import RougeScorer

        rows, size, texts = self.rows["test"], self.settings.batch_size, []
        prompts = [self._truncated_prompt(row["document"]) for row in rows]
        for start in range(0, len(prompts), size):
            texts += self._generate(trainer.model.eval(), prompts[start : start + size])
        scorer = RougeScorer(list(ROUGE), use_stemmer=True)
        scores = [scorer.score(row["summary"], text) for row, text in zip(rows, texts, strict=True)]
        return {kind: fmean(score[kind].fmeasure for score in scores) for kind in ROUGE}

    def _generate(self, model: Any, prompts: list[list[int]]) -> list[str]:
        batch = self.tokenizer.pad({"input_ids": prompts}, padding_side="left", return_tensors="pt")
        with torch.inference_mode():
            tokens = model.generate(**batch, max_new_tokens=self.head["max_new_tokens"], do_sample=False)
        new = tokens[:, batch["input_ids"].shape[1] :]
        return [text.strip() for text in self.tokenizer.batch_decode(new, skip_special_tokens=True)]

    def _example(self, row: Mapping[str, Any]) -> dict[str, Any]:
        prompt = self._truncated_prompt(row["document"])
        summary = self._ids(row["summary"] + self.tokenizer.eos_token)
        length = self.settings.max_length
        return {
            "input_ids": (prompt + summary)[:length],
            "labels": ([-100] * len(prompt) + summary)[:length],
        }

    def _truncated_prompt(self, document: str) -> list[int]:
        """Return the prompt with the document truncated so that a summary fits."""
        length = self.settings.max_length - self.head["max_new_tokens"] - len(self._prompt(""))
        ids = self._ids(document)
        return self._prompt(document if len(ids) <= length else self.tokenizer.decode(ids[:length]))

    def _prompt(self, document: str) -> list[int]:
        messages = [{"role": "user", "content": PROMPT.format(document=document)}]
        text = self.tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
        return self._ids(text)

    def _ids(self, text: str) -> list[int]:
        ids: list[int] = self.tokenizer(text, add_special_tokens=False)["input_ids"]
        return ids


def context_of(encoded: Any, window: int) -> Context:
    tokens = zip(encoded.sequence_ids(window), encoded["offset_mapping"][window], strict=True)
    return {token: offsets for token, (sequence, offsets) in enumerate(tokens) if sequence == 1}


def answer_tokens(answers: Mapping[str, Any], context: Context) -> dict[str, int]:
    """Return the first answer's position in a window; token 0 if the window does not contain it."""
    start = answers["answer_start"][0]
    end = start + len(answers["text"][0])
    starts = [token for token, offsets in context.items() if offsets[0] <= start]
    ends = [token for token, offsets in context.items() if offsets[1] >= end]
    first, last = (starts[-1], ends[0]) if starts and ends else (0, 0)
    return {"start_positions": first, "end_positions": last}


def spans_of(start: np.ndarray, end: np.ndarray, context: Context) -> list[Span]:
    """Return the most likely spans of a window."""
    starts, ends = (np.argsort(-logits)[:CANDIDATES].tolist() for logits in (start, end))
    return [
        (float(start[i] + end[j]), context[i][0], context[j][1])
        for i in starts
        for j in ends
        if i in context and j in context and i <= j < i + MAX_ANSWER_TOKENS
    ]


def answer(spans: list[Span], row: Mapping[str, Any]) -> str:
    _, start, end = max(spans, default=(0.0, 0, 0))
    return str(row["context"][start:end])


TASKS: dict[str, type[Task]] = {
    "sentiment": Classification,
    "qa": QuestionAnswering,
    "summarization": Summarization,
}
"""The name of tlplug's preset -> the task."""
