"""IA3: what is scaled, by formula, and in architectures that peft does not know."""

import pytest
import torch
from peft import PeftModel

from tests.plugins.test_strategies import logits
from tlplug import BaseInfo
from tlplug.interfaces.registry import Registry

IA3 = Registry().find("strategy", "ia3").load()


def plain(head, tiny_base):
    torch.manual_seed(99)
    return head.load_model(tiny_base, IA3().load_options(head)).eval()


def test_factors_begin_at_one_and_scale_keys_values_and_inner_activations(adapted, two_steps):
    _, model, module = adapted("ia3")
    factors = {name: value for name, value in model.named_parameters() if "ia3_l" in name}
    assert all((value == 1).all() for value in factors.values())
    two_steps(module)
    block, given = model.base_model.model.bert.encoder.layer[1], torch.randn(5, 64)
    key, inner = block.attention.self.key, block.output.dense
    factor = key.ia3_l["default"].flatten()
    assert (factor != 1).all()
    torch.testing.assert_close(key(given), key.base_layer(given) * factor)
    wide = torch.randn(5, 128)
    torch.testing.assert_close(inner(wide), inner.base_layer(wide * inner.ia3_l["default"].flatten()))


def test_stock_peft_and_the_merged_model_give_the_same(adapted, two_steps, head, tiny_base, batch, tmp_path):
    strategy, model, module = adapted("ia3")
    two_steps(module)
    strategy.save(model, tmp_path)
    trained = logits(model, batch)
    stock = PeftModel.from_pretrained(plain(head, tiny_base), tmp_path)
    assert abs(logits(stock, batch) - trained).max() <= 1e-6
    merged = strategy.merge(strategy.load(plain(head, tiny_base), tmp_path, tiny_base))
    assert type(merged) is type(plain(head, tiny_base))
    assert abs(logits(merged, batch) - trained).max() <= 1e-5
    assert abs(logits(plain(head, tiny_base), batch) - trained).max() > 1e-3


def base_of(kind, **sizes):
    from transformers import AutoConfig

    return BaseInfo("x", "x", None, "0", AutoConfig.for_model(kind, **sizes), None, 64)


@pytest.mark.parametrize(
    ("kind", "sizes", "outputs", "inner"),
    [
        (
            "distilbert",
            {"dim": 32, "hidden_dim": 64, "n_heads": 4, "n_layers": 1},
            ["transformer.layer.0.attention.k_lin", "transformer.layer.0.attention.v_lin"],
            ["transformer.layer.0.ffn.lin2"],
        ),
        (
            "olmo2",
            {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 1, "num_attention_heads": 4},
            ["layers.0.self_attn.k_proj", "layers.0.self_attn.v_proj"],
            ["layers.0.mlp.down_proj"],
        ),
        (
            "electra",
            {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 1, "num_attention_heads": 4},
            [f"encoder.layer.0.attention.self.{name}" for name in ("key", "value")],
            ["encoder.layer.0.output.dense"],
        ),
    ],
)
def test_layers_are_found_where_peft_does_not_know_the_architecture(kind, sizes, outputs, inner):
    from tlplug_plugins.strategies.ia3 import find_layers, peft_names
    from tlplug_plugins.strategies.layers import outline

    base = base_of(kind, vocab_size=60, **sizes)
    assert peft_names(kind) is None
    assert find_layers(outline(base)) == (outputs, inner)
    assert IA3().why_incompatible(None, base) is None


def test_the_layers_found_in_a_known_architecture_are_those_of_the_paper():
    """Heads wider than their share make the attention's last layer narrower on its way out too."""
    from tlplug_plugins.strategies.ia3 import find_layers
    from tlplug_plugins.strategies.layers import outline

    sizes = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 1, "num_attention_heads": 4}
    outputs, inner = find_layers(outline(base_of("llama", vocab_size=60, head_dim=16, **sizes)))
    assert outputs == ["layers.0.self_attn.k_proj", "layers.0.self_attn.v_proj"]
    assert inner == ["layers.0.mlp.down_proj"]


def test_an_architecture_without_separate_keys_is_refused_unless_layers_are_named():
    sizes = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 1, "num_attention_heads": 4}
    base = base_of("modernbert", **sizes)
    assert "modernbert, has no known separate layers for keys and values" in IA3().why_incompatible(
        None, base
    )
    named = IA3.Config(target_modules=["Wqkv", "Wo"], feedforward_modules=["Wo"])
    assert IA3(named).why_incompatible(None, base) is None


def test_named_layers_are_the_ones_that_are_scaled(adapted):
    _, model, _ = adapted(
        "ia3", target_modules=["query", "output.dense"], feedforward_modules=["output.dense"]
    )
    scaled = {name.rpartition(".")[2] for name, m in model.named_modules() if hasattr(m, "ia3_l")}
    assert scaled == {"query", "dense"}


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"target_modules": ["key"]}, "must both be set, or neither"),
        ({"target_modules": ["key"], "feedforward_modules": ["dense"]}, "must be some of target_modules"),
        ({"target_modules": "key", "feedforward_modules": ["key"]}, "target_modules is 'key'"),
    ],
)
def test_nonsense_is_an_error(fields, words):
    with pytest.raises(ValueError, match=words):
        IA3.Config(**fields)
