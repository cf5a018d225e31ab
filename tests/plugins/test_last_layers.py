"""The top blocks and the head move; what runs before them is known.

That it runs once: tests/training/test_prefix_cache.py.
"""

import pytest
import torch

from tests.plugins.tiny_generators import random_model
from tests.plugins.tiny_generators import tiny_base as generator
from tlplug import UsageError
from tlplug.interfaces import AdaptContext
from tlplug.interfaces.registry import Registry

LastLayers = Registry().find("strategy", "last_layers").load()


def head_of(name):
    cls = Registry().find("head", name).load()
    return cls().with_state({"labels": ["a", "b", "c"]})


def adapted_to(name, layers, head="classification", **fields):
    base, head = generator(name), head_of(head)
    strategy = LastLayers(LastLayers.Config(layers=layers, **fields))
    context = AdaptContext(head, base, 0, lambda: iter(()), torch.device("cpu"))
    return strategy, strategy.adapt(random_model(head, base), context)


def moving(model):
    return {name for name, parameter in model.named_parameters() if parameter.requires_grad}


ABOVE = {
    "bert": ("bert.pooler.", "classifier."),
    "gpt2": ("transformer.ln_f.", "score."),
    "llama": ("model.norm.", "score."),
    "t5": ("transformer.decoder.final_layer_norm.", "classification_head."),
    "bart": ("classification_head.",),
}
BLOCKS = {
    "bert": ["bert.encoder.layer.0.", "bert.encoder.layer.1."],
    "gpt2": ["transformer.h.0.", "transformer.h.1."],
    "llama": ["model.layers.0.", "model.layers.1."],
    "t5": [f"transformer.{side}.block.{n}." for side in ("encoder", "decoder") for n in (0, 1)],
    "bart": [f"model.{side}.layers.{n}." for side in ("encoder", "decoder") for n in (0, 1)],
}


@pytest.mark.parametrize("layers", [0, 1, 2])
@pytest.mark.parametrize("name", ABOVE)
def test_the_top_blocks_and_what_lies_above_them_move(name, layers):
    _, model = adapted_to(name, layers)
    top = (*BLOCKS[name][len(BLOCKS[name]) - layers :], *ABOVE[name])
    assert moving(model) == {key for key, _ in model.named_parameters() if key.startswith(top)}


def names_of(model, modules):
    known = {id(module): name for name, module in model.named_modules()}
    return [known[id(module)] for module in modules]


BEFORE = {
    "bert": ["bert.embeddings"],
    "gpt2": ["transformer.wte", "transformer.wpe", "transformer.drop"],
    "llama": ["model.embed_tokens", "model.rotary_emb"],
}


@pytest.mark.parametrize("name", BEFORE)
def test_what_runs_before_the_moving_blocks_is_frozen_with_its_dropout(name):
    strategy, model = adapted_to(name, 1)
    prefix = strategy.frozen_prefix(model)
    lower = [BLOCKS[name][0].rstrip(".")]
    assert sorted(names_of(model, prefix.modules)) == sorted(BEFORE[name] + lower)
    assert names_of(model, prefix.cacheable) == lower
    strategy, model = adapted_to(name, 1, cache=False)
    assert not strategy.frozen_prefix(model).cacheable


def test_of_an_encoder_decoder_the_encoder_is_frozen_and_nothing_is_kept():
    strategy, model = adapted_to("t5", 2)
    prefix = strategy.frozen_prefix(model)
    names = names_of(model, prefix.modules)
    assert {"transformer.encoder.block.0", "transformer.encoder.block.1", "transformer.shared"} <= set(names)
    assert not prefix.cacheable


@pytest.mark.parametrize("name", ["bert", "llama", "t5"])
def test_more_blocks_than_there_are_is_an_error_that_says_how_many(name):
    strategy = LastLayers(LastLayers.Config(layers=5))
    count = len(BLOCKS[name])
    assert "strategy.layers=5, but " in strategy.why_incompatible(head_of("classification"), generator(name))
    assert f"has {count} blocks" in strategy.why_incompatible(head_of("classification"), generator(name))
    with pytest.raises(UsageError, match=f"has {count} blocks"):
        adapted_to(name, 5)
    assert (
        LastLayers(LastLayers.Config(layers=count)).why_incompatible(
            head_of("classification"), generator(name)
        )
        is None
    )


def test_no_block_of_a_model_with_nothing_above_them_is_refused():
    with pytest.raises(UsageError, match="has no modules above its blocks; set strategy.layers to 1 or more"):
        adapted_to("bart", 0, "summarization")
    adapted_to("bart", 0, "classification")


def test_layers_below_zero_are_refused():
    with pytest.raises(ValueError, match="layers is -1; it must be at least 0"):
        LastLayers.Config(layers=-1)


def test_frozen_blocks_cost_no_backward_pass(batch, adapted):
    _, model, module = adapted("last_layers", layers=1)
    seen = []
    for block in model.bert.encoder.layer:
        block.register_forward_hook(lambda _, __, output: seen.append(output.requires_grad))
    module.strategy.training_step(model, module.head, {"main": batch}).loss.backward()
    assert seen == [False, True]


def test_a_tied_output_embedding_stays_with_the_embeddings():
    _, model = adapted_to("gpt2", 1, "language_modeling")
    assert not model.lm_head.weight.requires_grad
    _, model = adapted_to("llama", 1, "language_modeling")
    assert model.lm_head.weight.requires_grad and not model.model.embed_tokens.weight.requires_grad
