"""Fixtures: a tiny base model made from a config, a few rows, and no way to the network or the user's caches."""

import os

os.environ.update(HF_HUB_OFFLINE="1", WANDB_MODE="offline", TOKENIZERS_PARALLELISM="false")
# Threads of tiny models wait for each other longer than they compute, most of all where the machine is busy.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import json
import signal
from pathlib import Path

import pytest
from hypothesis import settings

from tlplug.testing.sample_rows import NEGATIVE, PLAIN, POSITIVE
from tlplug.testing.sample_rows import reviews as make_rows

settings.register_profile("tests", deadline=None)
settings.load_profile("tests")

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # A suite in a shell's background has it ignored, and so would all that it starts.
    signal.signal(signal.SIGINT, signal.default_int_handler)

ROOT = Path(__file__).resolve().parent.parent


def pytest_collection_modifyitems(items):
    """Files with slow tests begin first: of several workers, none is left alone with one at the end."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("TLPLUG_CACHE", str(tmp_path_factory.mktemp("cache")))


def write_rows(folder, train=48, validation=16, test=24):
    folder.mkdir(parents=True, exist_ok=True)
    for seed, (name, count) in enumerate({"train": train, "validation": validation, "test": test}.items()):
        rows = [{"text": row["text"], "label": row["label"]} for row in make_rows(count, seed)]
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


@pytest.fixture(scope="session")
def rows_folder(tmp_path_factory):
    return write_rows(tmp_path_factory.mktemp("rows"))


def make_tokenizer():
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    specials = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    vocabulary = {word: index for index, word in enumerate(specials + PLAIN + POSITIVE + NEGATIVE)}
    core = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    core.pre_tokenizer = pre_tokenizers.Whitespace()
    core.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        special_tokens=[("[CLS]", vocabulary["[CLS]"]), ("[SEP]", vocabulary["[SEP]"])],
    )
    names = dict(
        zip(["pad_token", "unk_token", "cls_token", "sep_token", "mask_token"], specials, strict=True)
    )
    return PreTrainedTokenizerFast(tokenizer_object=core, model_max_length=64, **names)


@pytest.fixture(scope="session")
def tiny_folder(tmp_path_factory):
    """A two-layer BERT of width 64 (bitsandbytes packs blocks of 64) with random weights, as a base model's folder."""
    import torch
    from transformers import BertConfig, BertModel

    folder = tmp_path_factory.mktemp("tiny-bert")
    tokenizer = make_tokenizer()
    torch.manual_seed(1234)
    config = BertConfig(
        vocab_size=len(tokenizer),
        hidden_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=128,
        max_position_embeddings=64,
    )
    BertModel(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def tiny_base(tiny_folder):
    from tlplug.models.base_model import find_base
    from tlplug.settings import ModelSettings

    return find_base(ModelSettings(source=str(tiny_folder)))
