"""Make tiny base models of each kind from a config and a fixed seed, with tokenizers for any text."""

from __future__ import annotations

import atexit
import copy
import os
import shutil
import string
import tempfile
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tlplug.testing.sample_rows import WORDS

if TYPE_CHECKING:
    from transformers import PretrainedConfig, PreTrainedTokenizerFast

    from tlplug.interfaces import BaseInfo

HOME = "TLPLUG_TESTING_HOME"
"""Environment variable with the folder of the models, which subprocesses share."""
MAX_LENGTH = 128
PAD, BOS, EOS, TURN, END = "<pad>", "<s>", "</s>", "<|turn|>", "<|end|>"
SPECIALS = [PAD, BOS, EOS, TURN, END]
CHAT = (
    "{% for message in messages %}<|turn|>{{ message['role'] }}\n{{ message['content'] }}<|end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|turn|>assistant\n{% endif %}"
)
DROPOUTS = (
    "hidden_dropout_prob",
    "attention_probs_dropout_prob",
    "dropout_rate",
    "classifier_dropout",
    "attention_dropout",
)


def word_tokenizer() -> PreTrainedTokenizerFast:
    """Return a tokenizer with a token for each word of the kit's rows and each letter, and [CLS] and [SEP] around texts."""
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    specials = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    letters = [*string.ascii_lowercase, *string.digits, *string.punctuation]
    words = dict.fromkeys([*specials, *letters, *(f"##{letter}" for letter in letters), *WORDS])
    core = Tokenizer(models.WordPiece({w: i for i, w in enumerate(words)}, unk_token="[UNK]"))
    core.normalizer = normalizers.BertNormalizer(lowercase=True)
    core.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    core.decoder = decoders.WordPiece()
    core.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[("[CLS]", 2), ("[SEP]", 3)],
    )
    names = ("pad_token", "unk_token", "cls_token", "sep_token", "mask_token")
    return PreTrainedTokenizerFast(tokenizer_object=core, **dict(zip(names, specials, strict=True)))


def byte_tokenizer(frame: str) -> PreTrainedTokenizerFast:
    """Return a tokenizer of bytes with a chat template; `frame` is the template of a text with special tokens."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    core = Tokenizer(models.BPE({word: index for index, word in enumerate([*SPECIALS, *letters])}, []))
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = decoders.ByteLevel()
    core.add_special_tokens(SPECIALS)
    core.post_processor = processors.TemplateProcessing(
        single=frame, special_tokens=[(name, SPECIALS.index(name)) for name in (BOS, EOS)]
    )
    names: dict[str, Any] = {"pad_token": PAD, "bos_token": BOS, "eos_token": EOS}
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=core, additional_special_tokens=[TURN, END], **names)
    tokenizer.chat_template = CHAT
    return tokenizer


def bert(vocabulary: int) -> PretrainedConfig:
    from transformers import BertConfig

    # bitsandbytes packs blocks of 64 weights.
    sizes = {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 2}
    return BertConfig(
        vocab_size=vocabulary, max_position_embeddings=MAX_LENGTH, initializer_range=0.1, **sizes
    )


def llama(vocabulary: int) -> PretrainedConfig:
    from transformers import LlamaConfig

    sizes = {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 4}
    return LlamaConfig(
        vocab_size=vocabulary,
        num_key_value_heads=2,
        max_position_embeddings=512,
        initializer_range=0.1,
        **{**sizes, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2},
    )


def t5(vocabulary: int) -> PretrainedConfig:
    from transformers import T5Config

    sizes = {"d_model": 64, "d_kv": 16, "d_ff": 128, "num_layers": 2, "num_heads": 4}
    special = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2, "decoder_start_token_id": 0}
    return T5Config(vocab_size=vocabulary, initializer_factor=2.0, **{**sizes, **special})


KINDS: dict[str, tuple[Any, Any, str]] = {
    "encoder": (bert, word_tokenizer, "AutoModel"),
    "decoder": (llama, lambda: byte_tokenizer("<s> $A"), "AutoModelForCausalLM"),
    "encoder-decoder": (t5, lambda: byte_tokenizer("$A </s>"), "AutoModelForSeq2SeqLM"),
}
"""The config, the tokenizer and the Auto class of each kind of base model."""


def home() -> Path:
    """Return a temporary folder that is removed at the end of this process."""
    if HOME not in os.environ:
        os.environ[HOME] = tempfile.mkdtemp(prefix="tlplug-testing-")
        atexit.register(shutil.rmtree, os.environ[HOME], ignore_errors=True)
    return Path(os.environ[HOME])


def folder(kind: str) -> Path:
    """Return the folder of the tiny base model of a kind, and create it if there is none."""
    import torch
    import transformers

    from tlplug.runtime.console import quiet_libraries

    path = home() / kind
    if not path.is_dir():
        config, make_tokenizer, auto = KINDS[kind]
        tokenizer = make_tokenizer()
        with torch.random.fork_rng(), quiet_libraries():
            torch.manual_seed(1234)
            model = getattr(transformers, auto).from_config(config(len(tokenizer)))
            temporary = home() / f"{kind}.{os.getpid()}"
            model.save_pretrained(temporary)
        tokenizer.save_pretrained(temporary)
        temporary.rename(path)
    return path


def base_in(folder: str | os.PathLike[str], max_length: int | None = None) -> BaseInfo:
    """Return the base model in a folder, for loading in float32."""
    from tlplug.models.base_model import find_base
    from tlplug.settings import ModelSettings

    return find_base(ModelSettings(source=os.fspath(folder), dtype="float32"), max_length)


@cache
def _find(kind: str) -> BaseInfo:
    return base_in(folder(kind), MAX_LENGTH)


def base(kind: str, dropout: bool = True, **changes: Any) -> BaseInfo:
    """Return the tiny base model of a kind.

    Args:
        dropout: whether the model has dropout.
        changes: fields of `BaseInfo`, such as `dtype`.
    """
    info = replace(_find(kind), **changes)
    config = copy.deepcopy(info.config)
    for name in DROPOUTS if not dropout else ():
        if hasattr(config, name):
            setattr(config, name, 0.0)
    return replace(info, config=config)
