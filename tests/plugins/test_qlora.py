"""QLoRA: how the weights are quantized, and what of LoRA goes with it."""

import pytest
import torch

from tests.plugins.test_strategies import logits
from tlplug.interfaces.registry import Registry

QLora = Registry().find("strategy", "qlora").load()
Lora = Registry().find("strategy", "lora").load()


def quantization(head, **fields):
    return QLora(QLora.Config(**fields)).load_options(head).quantization


@pytest.mark.parametrize("kind", ["nf4", "fp4"])
@pytest.mark.parametrize("double", [False, True])
def test_the_weights_are_of_the_kind_that_was_asked_for(adapted, two_steps, kind, double):
    import bitsandbytes

    _, model, module = adapted("qlora", bnb_4bit_quant_type=kind, bnb_4bit_use_double_quant=double)
    weights = [m.weight for m in model.modules() if isinstance(m, bitsandbytes.nn.Linear4bit)]
    assert len(weights) == 2 * 6 + 1
    assert {weight.quant_state.quant_type for weight in weights} == {kind}
    assert {weight.quant_state.nested for weight in weights} == {double}
    two_steps(module)


@pytest.mark.parametrize("name", ["float32", "bfloat16", "float16"])
def test_the_compute_type_is_the_one_that_was_asked_for(head, name):
    assert quantization(head, bnb_4bit_compute_dtype=name).bnb_4bit_compute_dtype == getattr(torch, name)


@pytest.mark.parametrize(
    ("gpu", "unit", "dtype"),
    [(False, False, torch.float32), (False, True, torch.bfloat16), (True, False, torch.bfloat16)],
)
def test_the_compute_type_follows_the_device_where_none_is_asked_for(head, monkeypatch, gpu, unit, dtype):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: gpu)
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_bf16": unit})
    assert quantization(head).bnb_4bit_compute_dtype == dtype


def test_it_has_all_fields_of_lora():
    own = {"bnb_4bit_quant_type", "bnb_4bit_use_double_quant", "bnb_4bit_compute_dtype", "paged_optimizer"}
    assert set(vars(QLora.Config())) == set(vars(Lora.Config())) | own


@pytest.mark.parametrize(
    "fields",
    [
        {"use_dora": True},
        {"use_rslora": True},
        {"loraplus_lr_ratio": 4.0},
        {"init_lora_weights": "gaussian"},
        {"init_lora_weights": "eva", "r": 3},
    ],
)
def test_variants_of_lora_train_and_come_back(adapted, two_steps, head, tiny_base, batch, tmp_path, fields):
    strategy, model, module = adapted("qlora", **fields)
    two_steps(module)
    strategy.save(model, tmp_path)
    loaded = strategy.load(head.load_model(tiny_base, strategy.load_options(head)), tmp_path, tiny_base)
    assert abs(logits(loaded, batch) - logits(model, batch)).max() <= 5e-3


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"bnb_4bit_quant_type": "int4"}, "bnb_4bit_quant_type is 'int4'; it must be one of nf4, fp4"),
        (
            {"bnb_4bit_compute_dtype": "float8"},
            "bnb_4bit_compute_dtype is 'float8'; it must be one of auto, float32",
        ),
        ({"init_lora_weights": "pissa"}, "would be quantized again"),
        ({"init_lora_weights": "olora"}, "would be quantized again"),
        ({"r": 0}, "r is 0"),
    ],
)
def test_nonsense_is_an_error(fields, words):
    with pytest.raises(ValueError, match=words):
        QLora.Config(**fields)
