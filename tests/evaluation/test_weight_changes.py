"""How matrices changed: against the merged model, for every way of moving them."""

import copy

import numpy as np
import pytest
import torch

from tests.training.sample_tasks import prepare, strategy
from tlplug.evaluation.evidence import EvidenceBuffer
from tlplug.evaluation.weight_changes import WeightChangeRecorder
from tlplug.interfaces import LoadOptions, TransferMetric
from tlplug.settings import OptimizerSettings
from tlplug.training.fit import build_module, load


def recorder(task, method, bare):
    made = WeightChangeRecorder(method, {"any": TransferMetric()}, EvidenceBuffer())
    made.find_layers(bare, task.head)
    return made


def moved(task, name, noise=0.05, **fields):
    """The bare base model's weights, an adapted model and what it began with; then everything that moves is shaken."""
    method = strategy(name, **fields)
    bare = task.head.load_model(task.base, LoadOptions())
    weights = recorder(task, method, bare)
    model = load(task, method, torch.device("cpu"))
    weights.start(model)
    torch.manual_seed(5)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter += noise * torch.randn_like(parameter)
    assert weights.buffer.reasons == {}
    return method, dict(bare.state_dict()), model, {c.name: c for c in weights.changes(model)}


LORA = [
    {},
    {"use_rslora": True, "r": 4},
    {"init_lora_weights": "pissa"},
    {"init_lora_weights": "olora"},
]


@pytest.mark.parametrize("fields", LORA, ids=str)
def test_factors_are_the_change_that_merging_makes(tiny_base, fields):
    method, bare, model, changes = moved(prepare(tiny_base), "lora", **fields)
    merged = method.merge(copy.deepcopy(model)).state_dict()
    assert len(changes) == 13, "six linear layers in each of two blocks, and the pooler"
    for name, change in changes.items():
        np.testing.assert_allclose(change.before, bare[name], atol=2e-6)
        np.testing.assert_allclose(change.after, merged[name], atol=2e-6)
        left, right = change.factors
        np.testing.assert_allclose(left @ right, change.after - change.before, atol=2e-6)
        assert left.shape[1] <= 2 * method.config.r


def test_4_bit_weights_are_unpacked_one_at_a_time(tiny_base):
    _, bare, _, changes = moved(prepare(tiny_base), "qlora")
    assert len(changes) == 13
    for name, change in changes.items():
        assert change.before.shape == tuple(bare[name].shape)
        assert np.abs(change.before - bare[name].numpy()).max() < 0.05
        assert change.layer == (None if "pooler" in name else int(name.split("layer.")[1][0]) + 1)


@pytest.mark.parametrize("name", ["full", "l2_sp", "mixout", "gradual_unfreezing", "last_layers"])
def test_matrices_that_move_whole_are_told_from_those_that_do_not(tiny_base, name):
    _, bare, model, changes = moved(prepare(tiny_base), name)
    moving = {n for n, p in model.named_parameters() if p.requires_grad and p.ndim == 2 and n in bare}
    assert set(changes) == moving - {"classifier.weight", "bert.pooler.dense.weight"} | (
        set(changes) & {"bert.pooler.dense.weight"}
    )
    assert changes
    now = model.state_dict()
    for each, change in changes.items():
        assert change.factors is None
        np.testing.assert_array_equal(change.before, bare[each])
        np.testing.assert_array_equal(change.after, now[each])


def test_layers_are_counted_from_the_embeddings_up(tiny_base):
    _, _, _, changes = moved(prepare(tiny_base), "full")
    layers = {name: change.layer for name, change in changes.items()}
    assert layers["bert.embeddings.word_embeddings.weight"] == 0
    assert layers["bert.encoder.layer.0.attention.self.query.weight"] == 1
    assert layers["bert.encoder.layer.1.output.dense.weight"] == 2
    assert layers["bert.pooler.dense.weight"] is None


@pytest.mark.parametrize("name", ["linear_probe", "ia3", "bottleneck_adapter", "bitfit", "prompt_tuning"])
def test_where_no_matrix_of_the_base_model_moves_there_is_none(tiny_base, name):
    assert moved(prepare(tiny_base), name)[3] == {}


def test_dora_is_no_product_of_small_matrices(tiny_base):
    assert moved(prepare(tiny_base), "lora", use_dora=True)[3] == {}


@pytest.mark.parametrize("name", ["lora", "full"])
def test_a_finished_run_s_changes_are_those_of_the_run(tiny_base, tmp_path, name):
    """What was saved, loaded over a bare model, changed it as the training did."""
    task = prepare(tiny_base)
    method, _, model, changes = moved(task, name)
    method.save(model, tmp_path)
    bare = task.head.load_model(task.base, method.load_options(task.head))
    weights = recorder(task, method, bare)
    weights.start(bare, adapted=False)
    again = {c.name: c for c in weights.changes(method.load(bare, tmp_path, task.base))}
    assert set(again) == set(changes)
    for each, change in changes.items():
        np.testing.assert_allclose(again[each].after, change.after, atol=1e-6)
        np.testing.assert_allclose(again[each].before, change.before, atol=1e-6)


def test_training_moves_what_the_start_knows(tiny_base):
    task, method = prepare(tiny_base), strategy("full")
    module = build_module(task, method, OptimizerSettings(), torch.device("cpu"), 1)
    weights = recorder(task, method, task.head.load_model(task.base, LoadOptions()))
    weights.start(module.model)
    assert list(weights.changes(module.model)) == [], "nothing has moved yet"
