"""Rates by depth, on a tiny model, against the formula."""

import dataclasses
import itertools

import pytest
import torch

from tests.plugins.tiny_generators import random_model
from tests.plugins.tiny_generators import tiny_base as generator
from tlplug import OptimizerSettings
from tlplug.interfaces import AdaptContext
from tlplug.interfaces.registry import Registry
from tlplug.training.module import BoundTask, TransferModule

Full = Registry().find("strategy", "full").load()
SETTINGS = OptimizerSettings(learning_rate=0.01, weight_decay=0.1, schedule="linear", warmup=0.0)


def grouped(model, layer_decay):
    strategy = Full(Full.Config(layer_decay=layer_decay))
    return strategy, strategy.parameter_groups(model, SETTINGS)


def by_name(model, groups):
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    return {names[id(parameter)]: group for group in groups for parameter in group["params"]}


def bert_depth(name):
    """Of a BERT of two blocks, by hand."""
    if "embeddings" in name:
        return 0
    return int(name.split("layer.")[1][0]) + 1 if "layer." in name else 3


def test_each_depth_has_its_own_rate_and_every_weight_is_in_one_group(adapted):
    _, model, _ = adapted("full")
    _, groups = grouped(model, 0.5)
    found = by_name(model, groups)
    assert set(found) == {name for name, _ in model.named_parameters()}
    assert sum(len(group["params"]) for group in groups) == len(found)
    for name, group in found.items():
        assert group["lr"] == pytest.approx(0.01 * 0.5 ** (3 - bert_depth(name))), name
        assert group["weight_decay"] == (0.1 if model.get_parameter(name).ndim > 1 else 0.0), name


def test_without_decay_there_are_two_groups_at_one_rate(adapted):
    _, model, _ = adapted("full")
    _, groups = grouped(model, 1.0)
    assert [("lr" in group, group["weight_decay"]) for group in groups] == [(False, 0.1), (False, 0.0)]


def test_of_an_encoder_decoder_the_encoder_lies_below(head):
    model = random_model(head, generator("t5"))
    rates = {name: group["lr"] for name, group in by_name(model, grouped(model, 0.5)[1]).items()}
    assert rates["transformer.shared.weight"] == pytest.approx(0.01 / 2**5)
    assert rates["transformer.encoder.block.0.layer.0.SelfAttention.q.weight"] == pytest.approx(0.01 / 2**4)
    assert rates["transformer.decoder.block.1.layer.0.SelfAttention.q.weight"] == pytest.approx(0.01 / 2)
    assert rates["classification_head.dense.weight"] == pytest.approx(0.01)


def test_the_schedule_scales_every_group_s_own_rate(adapted):
    strategy, model, _ = adapted("full", layer_decay=0.5)
    half = dataclasses.replace(SETTINGS, warmup=0.5)
    module = TransferModule(model, strategy, BoundTask(None, None, {}), half, 8)
    configured = module.configure_optimizers()
    optimizer, schedule = configured["optimizer"], configured["lr_scheduler"]["scheduler"]
    for step in range(8):
        share = step / 4 if step <= 4 else (8 - step) / 4
        rates = {group["lr"] for group in optimizer.param_groups}
        assert sorted(rates) == pytest.approx(sorted({share * 0.01 * 0.5**d for d in range(4)}))
        optimizer.step()
        schedule.step()


def test_a_plain_step_moves_each_depth_in_proportion_to_its_rate(adapted, batch):
    """AdamW's first step is the rate in every coordinate that has a gradient, less the weight's decay."""
    strategy, model, module = adapted("full", layer_decay=0.5)
    optimizer = strategy.optimizer(strategy.parameter_groups(model, SETTINGS), SETTINGS)
    before = {name: parameter.detach().clone() for name, parameter in model.named_parameters()}
    strategy.training_step(model, module.head, {"main": batch}).loss.backward()
    optimizer.step()
    for name, parameter in model.named_parameters():
        rate = 0.01 * 0.5 ** (3 - bert_depth(name))
        kept = 1 - rate * (0.1 if parameter.ndim > 1 else 0.0)
        moved = (parameter.detach() - before[name] * kept).abs()[parameter.grad.abs() > 1e-5]
        assert moved.numel() == 0 or moved.max() == pytest.approx(rate, rel=0.01), name


@pytest.mark.parametrize("decay", [0.0, -0.5, 1.5, float("nan")])
def test_a_decay_of_no_sense_is_refused(decay):
    with pytest.raises(ValueError, match="it must be above 0 and at most 1"):
        Full.Config(layer_decay=decay)


def test_a_model_without_a_list_of_blocks_is_refused_where_depth_matters(head):
    from transformers import AutoConfig

    xlm = AutoConfig.for_model("xlm", vocab_size=80, emb_dim=32, n_layers=2, n_heads=4)
    base = dataclasses.replace(generator("bert"), config=xlm)
    assert "keeps the parts of its blocks in several lists" in Full(
        Full.Config(layer_decay=0.9)
    ).why_incompatible(head, base)
    assert Full().why_incompatible(head, base) is None
    assert Full(Full.Config(layer_decay=0.9)).why_incompatible(head, generator("t5")) is None


def test_everything_moves(head):
    base = generator("llama")
    context = AdaptContext(head, base, 0, lambda: itertools.repeat({}), torch.device("cpu"))
    model = random_model(head, base).requires_grad_(False)
    assert all(parameter.requires_grad for parameter in Full().adapt(model, context).parameters())
