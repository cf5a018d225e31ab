"""Blocks and depths, over the architectures of all three kinds."""

import pytest
import torch

from tests.plugins.tiny_generators import CONFIGS
from tlplug.models.layers import parameter_depths, transformer_blocks

SMALL = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}


def config(name):
    from transformers import AutoConfig

    if name in CONFIGS:
        return CONFIGS[name](80)
    sizes = {"dim": 32, "n_layers": 2, "n_heads": 4, "hidden_dim": 64} if name == "distilbert" else SMALL
    sizes = {"emb_dim": 32, "n_layers": 2, "n_heads": 4} if name == "xlm" else sizes
    return AutoConfig.for_model(name, vocab_size=80, **sizes)


def model(name, auto="AutoModelForSequenceClassification"):
    import transformers

    with torch.device("meta"):
        return getattr(transformers, auto).from_config(config(name))


# Name -> where its blocks are, and the depth of what stands outside of them, by the beginning of the name.
EXPECTED = {
    "bert": (["bert.encoder.layer"], {"bert.embeddings": 0, "bert.pooler": 3, "classifier": 3}),
    "roberta": (["roberta.encoder.layer"], {"roberta.embeddings": 0, "classifier": 3}),
    "distilbert": (
        ["distilbert.transformer.layer"],
        {"distilbert.embeddings": 0, "pre_classifier": 3, "classifier": 3},
    ),
    "llama": (["model.layers"], {"model.embed_tokens": 0, "model.norm": 3, "score": 3}),
    "gpt2": (
        ["transformer.h"],
        {"transformer.wte": 0, "transformer.wpe": 0, "transformer.ln_f": 3, "score": 3},
    ),
    # Its norm is made before its blocks, and runs after them.
    "opt": (
        ["model.decoder.layers"],
        {"model.decoder.embed": 0, "model.decoder.final": 3, "score": 3},
    ),
    "electra": (
        ["electra.encoder.layer"],
        {"electra.embeddings": 0, "electra.embeddings_project": 0, "classifier": 3},
    ),
    "t5": (
        ["transformer.encoder.block", "transformer.decoder.block"],
        {
            "transformer.shared": 0,
            "transformer.encoder.final_layer_norm": 2,
            "transformer.decoder.final_layer_norm": 5,
            "classification_head": 5,
        },
    ),
    # The norms of its embeddings are made after its blocks, and run before them.
    "bart": (
        ["model.encoder.layers", "model.decoder.layers"],
        {
            "model.shared": 0,
            "model.encoder.embed_positions": 0,
            "model.encoder.layernorm_embedding": 0,
            "model.decoder.embed_positions": 0,
            "model.decoder.layernorm_embedding": 0,
            "classification_head": 5,
        },
    ),
}


@pytest.mark.parametrize("name", EXPECTED)
def test_blocks_are_named_from_the_bottom_up(name):
    found = model(name)
    lists, _ = EXPECTED[name]
    assert list(transformer_blocks(found)) == [f"{each}.{number}" for each in lists for number in (0, 1)]
    assert all(found.get_submodule(block) is module for block, module in transformer_blocks(found).items())


@pytest.mark.parametrize("name", EXPECTED)
def test_every_parameter_has_the_depth_at_which_it_runs(name):
    found = model(name)
    lists, outside = EXPECTED[name]
    known = {f"{each}.{n}": 1 + n + 2 * at for at, each in enumerate(lists) for n in (0, 1)} | outside
    by_name = parameter_depths(found)
    assert list(by_name) == [name for name, _ in found.named_parameters()]
    for parameter, depth in by_name.items():
        fitting = max((each for each in known if parameter.startswith(each)), key=len)
        assert depth == known[fitting], parameter


def test_an_output_embedding_is_on_top_where_it_is_not_the_input_s():
    tied, free = model("gpt2", "AutoModelForCausalLM"), model("llama", "AutoModelForCausalLM")
    assert (
        "lm_head.weight" not in parameter_depths(tied)
        and parameter_depths(tied)["transformer.wte.weight"] == 0
    )
    assert (
        parameter_depths(free)["lm_head.weight"] == 3
        and parameter_depths(free)["model.embed_tokens.weight"] == 0
    )


def test_layers_that_share_their_weights_are_one_block():
    assert list(transformer_blocks(model("albert"))) == ["albert.encoder.albert_layer_groups.0"]


def test_lists_inside_a_block_are_no_blocks_however_long():
    class Block(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.experts = torch.nn.ModuleList(torch.nn.Linear(2, 2) for _ in range(8))

    found = torch.nn.Sequential(torch.nn.Linear(2, 2))
    found.layers = torch.nn.ModuleList(Block() for _ in range(3))
    assert list(transformer_blocks(found)) == ["layers.0", "layers.1", "layers.2"]


def test_blocks_in_several_lists_or_none_are_refused():
    with pytest.raises(ValueError, match="keeps the parts of its blocks in several lists"):
        transformer_blocks(model("xlm"))
    with pytest.raises(ValueError, match="Linear has no list of blocks"):
        parameter_depths(torch.nn.Linear(2, 2))


def test_an_output_embedding_is_told_by_its_place_and_not_by_its_name():
    class Model(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.embed_in, self.embed_out = torch.nn.Embedding(4, 2), torch.nn.Linear(2, 4)
            self.layers = torch.nn.ModuleList([torch.nn.Linear(2, 2)])

        def get_output_embeddings(self):
            return self.embed_out

    found = parameter_depths(Model())
    assert found["embed_in.weight"] == 0 and found["embed_out.weight"] == 2
