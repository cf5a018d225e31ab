"""Where the adapters are, what they compute, and that they come back by their own description."""

import copy
import dataclasses
import json

import pytest
import torch

from tests.models.test_layers import config
from tests.plugins.tiny_generators import random_model
from tests.plugins.tiny_generators import tiny_base as generator
from tlplug import UsageError
from tlplug.interfaces import AdaptContext
from tlplug.interfaces.registry import Registry

BottleneckAdapter = Registry().find("strategy", "bottleneck_adapter").load()


def of(**fields):
    return BottleneckAdapter(BottleneckAdapter.Config(**fields))


def adapted_to(name, head, **fields):
    """The base model, a copy of it with adapters, and the strategy."""
    base = generator(name)
    context = AdaptContext(head, base, 0, lambda: iter(()), torch.device("cpu"))
    model = random_model(head, base)
    strategy = of(**fields)
    return model, strategy.adapt(copy.deepcopy(model), context), strategy


# The end of a sub-layer in the lowest block (of a decoder, where there is an encoder too), by hand from the papers' figures.
ENDS = {
    "bert": ("bert.encoder.layer.0.", ["attention.output.dense"], "output.dense"),
    "roberta": ("roberta.encoder.layer.0.", ["attention.output.dense"], "output.dense"),
    "distilbert": ("distilbert.transformer.layer.0.", ["attention.out_lin"], "ffn.lin2"),
    "llama": ("model.layers.0.", ["self_attn.o_proj"], "mlp.down_proj"),
    "gpt2": ("transformer.h.0.", ["attn.c_proj"], "mlp.c_proj"),
    "t5": (
        "transformer.decoder.block.0.",
        ["layer.0.SelfAttention.o", "layer.1.EncDecAttention.o"],
        "layer.2.DenseReluDense.wo",
    ),
    "bart": ("model.decoder.layers.0.", ["self_attn.out_proj", "encoder_attn.out_proj"], "fc2"),
}


@pytest.mark.parametrize("name", ENDS)
def test_adapters_are_at_the_end_of_each_sub_layer_of_every_block(name):
    from transformers import AutoModelForSequenceClassification

    from tlplug import transformer_blocks
    from tlplug_plugins.strategies.layers.bottleneck import attention_outputs, feed_forward_outputs

    with torch.device("meta"):
        model = AutoModelForSequenceClassification.from_config(config(name))
    block, attentions, feed_forward = ENDS[name]
    found, ends = attention_outputs(model), feed_forward_outputs(model)
    assert [place for place in found if place.startswith(block)] == [block + each for each in attentions]
    assert [place for place in ends if place.startswith(block)] == [block + feed_forward]
    sides = 2 if name in ("t5", "bart") else 1
    assert len(ends) == len(transformer_blocks(model)) == 2 * sides
    assert len(found) == 2 * (1 if sides == 1 else 3)


@pytest.mark.parametrize("position", ["houlsby", "pfeiffer"])
@pytest.mark.parametrize("name", ["bert", "llama", "gpt2", "t5", "bart"])
def test_the_adapted_model_is_at_first_what_it_was(head, name, position):
    before, after, _ = adapted_to(name, head, position=position)
    ids = torch.cat([torch.randint(5, 60, (3, 9)), torch.full((3, 1), 2)], 1)
    with torch.no_grad():
        one, other = (model.eval()(input_ids=ids) for model in (before, after))
    assert torch.equal(one.logits, other.logits)
    adapters = [module for name, module in after.named_modules() if name.endswith(".adapter")]
    with torch.no_grad():
        for adapter in adapters:
            torch.nn.init.normal_(adapter.up.bias)
        moved = after(input_ids=ids).logits
    assert (moved - one.logits).abs().max() > 1e-3


def test_the_output_is_the_formula_s(head):
    """BERT's feed-forward part by hand: LayerNorm(x + h + W_up f(W_down h + b) + b'), dropout off."""
    before, after, _ = adapted_to("bert", head, reduction=4, activation="tanh")
    part, plain = after.bert.encoder.layer[0].output, before.bert.encoder.layer[0].output
    adapter = part.dense.adapter
    torch.nn.init.normal_(adapter.up.weight)
    torch.nn.init.normal_(adapter.up.bias)
    inner, x = torch.randn(2, 5, 64), torch.randn(2, 5, 32)
    h = inner @ plain.dense.weight.T + plain.dense.bias
    added = torch.tanh(h @ adapter.down.weight.T + adapter.down.bias) @ adapter.up.weight.T + adapter.up.bias
    expected = plain.LayerNorm(x + h + added)
    torch.testing.assert_close(part.eval()(inner, x), expected)
    assert adapter.down.weight.shape == (8, 32)


@pytest.mark.parametrize(("position", "places"), [("houlsby", 2), ("pfeiffer", 1)])
def test_the_adapters_the_head_and_with_houlsby_the_norms_move(head, position, places):
    _, model, _ = adapted_to("bert", head, position=position, reduction=4)
    moving = {name for name, parameter in model.named_parameters() if parameter.requires_grad}
    expected = {
        name
        for name, _ in model.named_parameters()
        if ".adapter." in name
        or name.startswith("classifier.")
        or (position == "houlsby" and "LayerNorm" in name)
    }
    assert moving == expected
    count = sum(model.get_parameter(name).numel() for name in moving if ".adapter." in name)
    assert count == 2 * places * (2 * 32 * 8 + 32 + 8)


def test_the_base_model_s_weights_keep_their_names(head):
    before, after, _ = adapted_to("gpt2", head)
    known = set(after.state_dict())
    assert set(before.state_dict()) < known
    assert all(".adapter." in name for name in known - set(before.state_dict()))


@pytest.mark.parametrize("name", ["bert", "llama", "t5"])
def test_what_was_saved_comes_back_whatever_the_config_says_now(head, tmp_path, name):
    before, model, strategy = adapted_to(name, head, reduction=8, position="pfeiffer", activation="relu")
    for parameter in model.parameters():
        if parameter.requires_grad:
            torch.nn.init.normal_(parameter, std=0.1)
    strategy.save(model, tmp_path)
    assert json.loads((tmp_path / "adapter.json").read_text())["size"] == 4
    loaded = of().load(copy.deepcopy(before), tmp_path, generator(name))
    ids = torch.tensor([[5, 6, 7, 2]])
    with torch.no_grad():
        one, other, plain = (each.eval()(input_ids=ids).logits for each in (model, loaded, before))
    assert torch.equal(one, other) and not torch.equal(one, plain)


def test_a_format_of_another_version_is_refused(head, tmp_path):
    before, model, strategy = adapted_to("bert", head)
    strategy.save(model, tmp_path)
    form = json.loads((tmp_path / "adapter.json").read_text())
    (tmp_path / "adapter.json").write_text(json.dumps({**form, "version": 2}))
    with pytest.raises(UsageError, match="format version 2; this tlplug reads version 1"):
        strategy.load(before, tmp_path, generator("bert"))


def test_gradient_checkpointing_gives_the_same_gradients(head):
    _, model, _ = adapted_to("llama", head)
    gradients = []
    for checkpointed in (False, True):
        if checkpointed:
            model.gradient_checkpointing_enable({"use_reentrant": False})
        model.train().zero_grad()
        model.config.use_cache = False
        model(input_ids=torch.tensor([[5, 6, 7, 2]]), labels=torch.tensor([1])).loss.backward()
        gradients.append({n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None})
    assert gradients[0].keys() == gradients[1].keys() and len(gradients[0]) > 8
    for name, value in gradients[0].items():
        torch.testing.assert_close(value, gradients[1][name])


def test_a_block_without_such_layers_is_refused_before_the_model_loads(head):
    from transformers import AutoConfig

    sizes = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4}
    moe = AutoConfig.for_model("mixtral", vocab_size=80, num_key_value_heads=2, num_local_experts=4, **sizes)
    base = dataclasses.replace(generator("llama"), config=moe)
    assert "does not end in a linear layer of the model's width" in of().why_incompatible(head, base)
    assert of().why_incompatible(head, generator("llama")) is None


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"reduction": 0}, "at least 1"),
        ({"position": "above"}, "it must be houlsby or pfeiffer"),
        ({"activation": "linear"}, "it must be one of relu"),
    ],
)
def test_nonsense_is_refused(fields, reason):
    with pytest.raises(ValueError, match=reason):
        BottleneckAdapter.Config(**fields)


def test_a_bottleneck_has_at_least_one_unit(head):
    _, model, _ = adapted_to("bert", head, reduction=1000)
    assert model.bert.encoder.layer[0].output.dense.adapter.down.out_features == 1
