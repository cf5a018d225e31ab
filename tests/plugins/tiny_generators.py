"""Tiny base models that generate, from configs and fixed seeds, with tokenizers that know every text."""

import string

import pytest
import torch

from tlplug.interfaces import BaseInfo, LoadOptions

PAD, BOS, EOS, TURN, END = "<pad>", "<s>", "</s>", "<|turn|>", "<|end|>"
SPECIALS = [PAD, BOS, EOS, TURN, END]
TEMPLATE = (
    "{% for message in messages %}<|turn|>{{ message['role'] }}\n{{ message['content'] }}<|end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|turn|>assistant\n{% endif %}"
)
SMALL = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}


@pytest.fixture(autouse=True)
def one_thread():
    """Models this small are slower with more, by far where the machine has other work."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def byte_tokenizer(frame="$A", template=None, eos=EOS):
    """A token a byte, those of frequent pairs together; `frame` is what stands around a text."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    pairs = [("t", "h"), ("th", "e"), ("i", "n"), ("Ġ", "a"), ("e", "r")]
    words = [*SPECIALS, *letters, *("".join(pair) for pair in pairs)]
    core = Tokenizer(models.BPE({word: index for index, word in enumerate(words)}, pairs))
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = decoders.ByteLevel()
    core.add_special_tokens(SPECIALS)
    core.post_processor = processors.TemplateProcessing(
        single=frame, special_tokens=[(name, SPECIALS.index(name)) for name in (BOS, EOS)]
    )
    names = {"pad_token": PAD, "bos_token": BOS, "eos_token": eos, "additional_special_tokens": [TURN, END]}
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=core, **names)
    tokenizer.chat_template = template
    return tokenizer


def word_piece_tokenizer():
    """A token a letter, those after a word's first with ##."""
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    specials = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    letters = [*string.ascii_lowercase, *string.digits, ".", ",", "'", "-"]
    words = [*specials, *letters, *(f"##{letter}" for letter in letters), "the", "##ing"]
    core = Tokenizer(models.WordPiece({w: i for i, w in enumerate(words)}, unk_token="[UNK]"))
    core.normalizer = normalizers.BertNormalizer(lowercase=True)
    core.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    core.decoder = decoders.WordPiece()
    core.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    names = ("pad_token", "unk_token", "cls_token", "sep_token", "mask_token")
    return PreTrainedTokenizerFast(tokenizer_object=core, **dict(zip(names, specials, strict=True)))


def llama_config(vocabulary, **changes):
    from transformers import LlamaConfig

    sizes = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}
    return LlamaConfig(
        vocab_size=vocabulary,
        num_key_value_heads=2,
        max_position_embeddings=512,
        initializer_range=0.2,
        **{**SMALL, **sizes, **changes},
    )


def gpt2_config(vocabulary, **changes):
    from transformers import GPT2Config

    dropout = dict.fromkeys(("resid_pdrop", "embd_pdrop", "attn_pdrop"), 0.0)
    sizes = {"n_positions": 512, "n_embd": 32, "n_layer": 2, "n_head": 4}
    return GPT2Config(
        vocab_size=vocabulary, initializer_range=0.2, **{**SMALL, **sizes, **dropout, **changes}
    )


def t5_config(vocabulary):
    from transformers import T5Config

    sizes = {"d_model": 32, "d_kv": 8, "d_ff": 64, "num_layers": 2, "num_heads": 4}
    return T5Config(
        vocab_size=vocabulary,
        dropout_rate=0.0,
        decoder_start_token_id=0,
        initializer_factor=3.0,
        **SMALL,
        **sizes,
    )


def bart_config(vocabulary):
    from transformers import BartConfig

    layers = {"encoder_layers": 2, "decoder_layers": 2, "encoder_attention_heads": 4}
    sizes = {"decoder_attention_heads": 4, "encoder_ffn_dim": 64, "decoder_ffn_dim": 64, "d_model": 32}
    return BartConfig(
        vocab_size=vocabulary,
        max_position_embeddings=512,
        dropout=0.0,
        init_std=0.2,
        decoder_start_token_id=2,
        **{**SMALL, **layers, **sizes},
    )


def bert_config(vocabulary):
    from transformers import BertConfig

    sizes = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}
    return BertConfig(vocab_size=vocabulary, max_position_embeddings=128, **sizes)


CONFIGS = {
    "llama": llama_config,
    "gpt2": gpt2_config,
    "t5": t5_config,
    "bart": bart_config,
    "bert": bert_config,
}
FRAMES = {"llama": "<s> $A", "gpt2": "$A", "t5": "$A </s>", "bart": "<s> $A </s>"}


def tiny_base(name, template=None, max_length=256, attention=None, tokenizer=None, **changes):
    """The base model of that architecture; its weights come with `LoadOptions(random_weights=True)`."""
    if tokenizer is None:
        tokenizer = word_piece_tokenizer() if name == "bert" else byte_tokenizer(FRAMES[name], template)
    config = CONFIGS[name](len(tokenizer), **changes)
    return BaseInfo(
        source=name,
        path=name,
        revision=None,
        fingerprint=name,
        config=config,
        processor=tokenizer,
        max_length=max_length,
        attention=attention,
    )


def random_model(head, base, seed=0):
    torch.manual_seed(seed)
    return head.load_model(base, LoadOptions(random_weights=True)).eval()


def own_labels(labels):
    """Labels as transformers takes them, each at its own token, of labels that stand one token earlier."""
    return torch.cat([torch.full_like(labels[:, :1], -100), labels[:, :-1]], dim=1)


def steps(head, model, batch, count=12, rate=3e-3):
    """The losses of a few plain AdamW steps."""
    model.train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=rate)
    losses = []
    for _ in range(count):
        loss = head.training_step(model, batch).loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses
