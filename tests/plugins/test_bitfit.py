"""Biases and the head move, and nothing else; a model without biases is refused."""

import pytest
import torch

from tests.plugins.tiny_generators import random_model
from tests.plugins.tiny_generators import tiny_base as generator
from tlplug import UsageError
from tlplug.interfaces import AdaptContext
from tlplug.interfaces.registry import Registry

BitFit = Registry().find("strategy", "bitfit").load()


def head_of(name):
    cls = Registry().find("head", name).load()
    return cls().with_state({"labels": ["a", "b", "c"]})


def adapted_to(name, head):
    base = generator(name)
    context = AdaptContext(head, base, 0, lambda: iter(()), torch.device("cpu"))
    return BitFit().adapt(random_model(head, base), context)


def moving(model):
    return {name for name, parameter in model.named_parameters() if parameter.requires_grad}


@pytest.mark.parametrize("name", ["bert", "gpt2", "bart"])
def test_the_biases_and_the_head_move(name):
    model = adapted_to(name, head_of("classification"))
    top = ("classifier.", "score.", "classification_head.")
    expected = {key for key, _ in model.named_parameters() if key.endswith(".bias") or key.startswith(top)}
    assert moving(model) == expected and any("bias" not in key for key in expected)


def test_the_share_is_that_of_the_paper():
    """0.09% of BERT large (Ben Zaken et al. 2022, table 1), without the head."""
    from transformers import BertConfig, BertModel

    from tlplug_plugins.strategies.bitfit import biases

    with torch.device("meta"):
        sizes = {"hidden_size": 1024, "num_hidden_layers": 24, "num_attention_heads": 16}
        model = BertModel(
            BertConfig(vocab_size=28996, intermediate_size=4096, **sizes), add_pooling_layer=False
        )
    share = sum(model.get_parameter(name).numel() for name in biases(model, [])) / model.num_parameters()
    assert 0.0008 < share < 0.00095


def test_biases_by_another_name_move_and_embeddings_of_one_do_not():
    from tlplug_plugins.strategies.bitfit import biases

    model = torch.nn.Module()
    model.attention, model.position_bias = torch.nn.Module(), torch.nn.Embedding(4, 2)
    model.attention.q_bias = torch.nn.Parameter(torch.zeros(3))
    model.head = torch.nn.Linear(3, 2)
    assert biases(model, ["head"]) == {"attention.q_bias"}


@pytest.mark.parametrize("name", ["llama", "t5"])
@pytest.mark.parametrize("head", ["classification", "token_classification"])
def test_a_model_without_biases_is_refused_before_it_is_loaded(name, head):
    assert f"{name} has no biases" in BitFit().why_incompatible(head_of(head), generator(name))
    with pytest.raises(UsageError, match="has no biases, so no weight of the base model would be trained"):
        adapted_to(name, head_of(head))


@pytest.mark.parametrize("name", ["bert", "gpt2", "bart"])
def test_a_model_with_biases_is_not_refused(name):
    assert BitFit().why_incompatible(head_of("classification"), generator(name)) is None


def test_only_what_moves_is_saved(adapted, two_steps, tmp_path):
    from safetensors.torch import load_file

    strategy, model, module = adapted("bitfit")
    two_steps(module)
    strategy.save(model, tmp_path)
    assert set(load_file(tmp_path / "trained.safetensors")) == moving(model)


def test_over_weights_in_16_bits_a_norm_s_scale_and_shift_have_one_format():
    """torch has no layer norm of a scale in bfloat16 and a shift in float32 on a CPU."""
    import dataclasses

    from tlplug.models.precision import autocast, cast_trainable_to_float32

    head, base = head_of("classification"), dataclasses.replace(generator("bert"), dtype="bfloat16")
    context = AdaptContext(head, base, 0, lambda: iter(()), torch.device("cpu"))
    model = cast_trainable_to_float32(BitFit().adapt(random_model(head, base), context))
    norm = model.bert.encoder.layer[0].output.LayerNorm
    assert norm.weight.dtype == norm.bias.dtype == torch.float32 and not norm.weight.requires_grad
    assert model.bert.encoder.layer[0].output.dense.weight.dtype == torch.bfloat16
    with autocast("bf16-mixed", torch.device("cpu")):
        model(input_ids=torch.tensor([[5, 6, 7]]), labels=torch.tensor([1])).loss.backward()
    assert norm.bias.grad.abs().sum() > 0
