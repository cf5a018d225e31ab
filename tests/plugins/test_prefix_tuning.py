"""Prefix tuning: what a model attends to, against stock peft and a formula written by hand."""

import pytest
import torch

from tests.plugins.test_prompt_tuning import (
    CELLS,
    answers,
    check_alone_and_in_company,
    check_beams,
    check_generates,
    check_loaded,
    check_stock,
    context_of,
    fresh,
    near,
    rows,
    together,
    tuned,
)
from tests.plugins.tiny_generators import CONFIGS
from tlplug.interfaces import BaseInfo
from tlplug.interfaces.registry import Registry

PrefixTuning = Registry().find("strategy", "prefix_tuning").load()
# T5's tokens are read by its encoder alone, and its answers by a decoder that is given no cache.
WORKS = [cell for cell in CELLS if cell not in (("t5", "tokens"), ("t5", "answers"))]


@pytest.mark.parametrize(("architecture", "task"), [c for c in WORKS if c != ("t5", "classification")])
def test_stock_peft_gives_the_same_with_what_is_saved(architecture, task, tmp_path):
    check_stock("prefix_tuning", architecture, task, rows(9, 4, 6), tmp_path)


@pytest.mark.parametrize(("architecture", "task"), WORKS)
def test_a_row_s_answer_does_not_depend_on_what_it_is_padded_to(architecture, task):
    check_alone_and_in_company(tuned("prefix_tuning", architecture, task)[1], task)


def test_padding_on_the_left_changes_nothing_either():
    check_alone_and_in_company(tuned("prefix_tuning", "llama", "classification")[1], "classification", True)


@pytest.mark.parametrize("projection", [False, True])
@pytest.mark.parametrize(("architecture", "task"), WORKS)
def test_what_is_saved_comes_back(architecture, task, projection, tmp_path):
    check_loaded("prefix_tuning", architecture, task, tmp_path, prefix_projection=projection)


@pytest.mark.parametrize(("architecture", "task"), [("llama", "causal"), ("t5", "seq2seq")])
def test_what_is_generated_is_the_likeliest_next_token_each_time(architecture, task):
    check_generates(tuned("prefix_tuning", architecture, task)[1], architecture == "t5")


@pytest.mark.parametrize(("architecture", "task"), [("llama", "causal"), ("t5", "seq2seq")])
def test_a_row_gets_the_beams_that_it_gets_alone(architecture, task):
    check_beams(tuned("prefix_tuning", architecture, task)[1], architecture == "t5")


def test_each_layer_attends_to_its_own_prefix_and_then_to_the_text():
    """softmax(q [P_k; k]' / sqrt(d)) [P_v; v] of BERT's second layer, by hand."""
    model = tuned("prefix_tuning", "bert", "masked")[1]
    attention = model.get_base_model().bert.encoder.layer[1].attention.self
    seen = {}
    attention.register_forward_hook(lambda _, given, output: seen.update(states=given[0], output=output[0]))
    answers(model, "masked", together(rows(6, 6)))
    heads, width = attention.num_attention_heads, attention.attention_head_size
    # Of each virtual token: layer 0's key and value, layer 1's key and value.
    prefix = model.prompt_encoder["default"].embedding.weight.view(5, 2, 2, heads * width)[:, 1]

    def parted(states):
        return states.view(2, -1, heads, width).transpose(1, 2)

    query = parted(attention.query(seen["states"]))
    key, value = (
        parted(torch.cat([prefix[:, which].expand(2, -1, -1), layer(seen["states"])], dim=1))
        for which, layer in enumerate((attention.key, attention.value))
    )
    weights = (query @ key.transpose(2, 3) / width**0.5).softmax(-1)
    near(seen["output"], (weights @ value).transpose(1, 2).flatten(2))


@pytest.mark.parametrize(
    ("architecture", "task", "name"),
    [
        ("bert", "tokens", "token_classification"),
        ("llama", "tokens", "token_classification"),
        ("t5", "classification", "classification"),
        ("bart", "classification", "classification"),
        ("t5", "tokens", "token_classification"),
        ("t5", "answers", "question_answering"),
        ("bart", "answers", "question_answering"),
    ],
)
def test_a_model_that_cannot_read_a_prefix_is_known_without_its_weights(architecture, task, name):
    """What is refused fails or reads no prefix where it is tried all the same, and nothing else does."""
    head = Registry().find("head", name).load()().with_state({"labels": ["a", "b"]})
    context = context_of(None, CONFIGS[architecture](60))
    refusal = PrefixTuning().why_incompatible(head, context.base)
    assert (refusal is not None) == (architecture == "t5" and task != "classification")
    model = PrefixTuning().adapt(fresh(architecture, task), context).eval()
    batch = together(rows(6, 6))
    try:
        reads = not torch.equal(answers(model, task, batch), answers(model.get_base_model(), task, batch))
    except TypeError:
        reads = False
    assert reads == (refusal is None)
    assert refusal is None or refusal.startswith("transformers' t5 accepts no keys and values of earlier")


@pytest.mark.parametrize("kind", ["distilbert", "modernbert"])
def test_encoders_without_a_cache_are_refused(kind):
    from transformers import AutoConfig

    base = BaseInfo("x", "x", None, "0", AutoConfig.for_model(kind), None, 64)
    head = Registry().find("head", "classification").load()()
    assert kind in PrefixTuning().why_incompatible(head, base)


def test_gradient_checkpointing_is_refused():
    base = BaseInfo("x", "x", None, "0", CONFIGS["bert"](60), None, 64, gradient_checkpointing=True)
    head = Registry().find("head", "classification").load()()
    assert "gradient checkpointing" in PrefixTuning().why_incompatible(head, base)


def test_a_decoder_s_own_count_and_width_of_layers_are_taken():
    """An encoder-decoder whose two halves differ, and whose heads are wider than a share of its states."""
    from transformers import AutoModelForSeq2SeqLM, T5Config

    sizes = {"d_model": 32, "d_kv": 16, "d_ff": 64, "num_layers": 1, "num_decoder_layers": 3, "num_heads": 4}
    config = T5Config(vocab_size=60, decoder_start_token_id=0, pad_token_id=0, eos_token_id=2, **sizes)
    model = AutoModelForSeq2SeqLM.from_config(config)
    adapted = PrefixTuning(PrefixTuning.Config(num_virtual_tokens=5)).adapt(model, context_of(model)).eval()
    assert adapted.prompt_encoder["default"].embedding.weight.shape == (5, 3 * 2 * 4 * 16)
    assert answers(adapted, "seq2seq", together(rows(6, 4))).shape == (2, 4, 60)
