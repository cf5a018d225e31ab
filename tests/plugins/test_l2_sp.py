"""The penalty on the distance from the pretrained weights, by hand."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from tlplug.models.precision import cast_trainable_to_float32

NEW = {"classifier.weight", "classifier.bias"}


def no_dropout(model):
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0


def shifted(model):
    """Every weight moved a little; what it was and what it is, by name, in float64."""
    before = {name: p.detach().double().numpy() for name, p in model.named_parameters()}
    torch.manual_seed(5)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.01 * torch.randn_like(parameter)
    return before, {name: p.detach().double().numpy() for name, p in model.named_parameters()}


def test_the_penalty_and_its_gradient_are_those_of_the_formula(adapted):
    strategy, model, _ = adapted("l2_sp", alpha=0.3, beta=0.05)
    w0, w = shifted(model)
    old = sum(np.square(w[name] - w0[name]).sum() for name in w if name not in NEW)
    new = sum(np.square(w[name]).sum() for name in NEW)
    penalty = strategy.penalty(model)
    assert penalty.item() == pytest.approx(0.3 / 2 * old + 0.05 / 2 * new, rel=1e-5)
    penalty.backward()
    for name, parameter in model.named_parameters():
        expected = 0.05 * w[name] if name in NEW else 0.3 * (w[name] - w0[name])
        np.testing.assert_allclose(parameter.grad.numpy(), expected, atol=1e-7)


def test_it_begins_with_the_new_weights_alone(adapted):
    strategy, model, _ = adapted("l2_sp")
    assert set(dict(model.named_parameters())) - set(strategy.start) == NEW
    new = sum(p.detach().square().sum().item() for name, p in model.named_parameters() if name in NEW)
    assert strategy.penalty(model).item() == pytest.approx(0.01 / 2 * new)
    strategy.config.beta = 0.0
    assert strategy.penalty(model).item() == 0.0


def test_the_step_adds_it_to_the_head_s_loss_and_tells_it(adapted, batch, head):
    strategy, model, _ = adapted("l2_sp")
    no_dropout(model)
    shifted(model)
    step = strategy.training_step(model, head, {"main": batch})
    plain = head.training_step(model, batch)
    assert step.loss.item() == pytest.approx(plain.loss.item() + strategy.penalty(model).item())
    assert step.logs["penalty"] == pytest.approx(strategy.penalty(model).item())
    assert step.num_items == plain.num_items


def test_without_both_pulls_it_is_full(adapted, two_steps):
    weights = []
    for name, fields in (("full", {}), ("l2_sp", {"alpha": 0.0, "beta": 0.0})):
        _, model, module = adapted(name, **fields)
        module.settings = replace(module.settings, weight_decay=0.01)
        torch.manual_seed(1)
        two_steps(module)
        weights.append(model.state_dict())
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])


def test_the_stronger_the_pull_the_nearer_it_stays(adapted, batch, head):
    distances = []
    for alpha in (0.0, 1.0, 100.0):
        strategy, model, _ = adapted("l2_sp", alpha=alpha, beta=0.0)
        optimizer = torch.optim.SGD(model.parameters(), 0.005)
        torch.manual_seed(1)
        for _ in range(10):
            optimizer.zero_grad()
            strategy.training_step(model, head, {"main": batch}).loss.backward()
            optimizer.step()
        weights = dict(model.named_parameters())
        distances.append(sum((weights[n] - w0).square().sum().item() for n, w0 in strategy.start.items()))
    assert distances[0] > 1.01 * distances[1] > 2 * distances[2] > 0


def test_weight_decay_which_pulls_to_zero_is_off(adapted):
    strategy, model, module = adapted("l2_sp")
    assert {g["weight_decay"] for g in strategy.parameter_groups(model, module.settings)} == {0.0}


def test_nothing_more_is_saved_than_full_saves(adapted, tmp_path):
    for name in ("full", "l2_sp"):
        strategy, model, _ = adapted(name)
        strategy.save(model, tmp_path / name)
    names = [set(load_file(tmp_path / name / "model.safetensors")) for name in ("full", "l2_sp")]
    assert names[0] == names[1]


def test_the_start_is_a_copy_in_what_the_weights_move_in(adapted):
    strategy, model, _ = adapted("l2_sp", beta=0.0)
    for name, parameter in model.named_parameters():
        assert name in NEW or strategy.start[name].data_ptr() != parameter.data_ptr()
    model.bfloat16()
    strategy.adapt(model, replace_context(strategy, model))
    cast_trainable_to_float32(model)
    assert {tensor.dtype for tensor in strategy.start.values()} == {torch.float32}
    assert strategy.penalty(model).item() == 0.0


def replace_context(strategy, model):
    from tlplug.interfaces import AdaptContext

    return AdaptContext(None, None, 0, None, torch.device("cpu"))


@pytest.mark.parametrize("fields", [{"alpha": -0.1}, {"beta": -1.0}, {"layer_decay": 0.0}])
def test_nonsense_is_refused(adapted, fields):
    with pytest.raises(ValueError, match=rf"{next(iter(fields))} is {next(iter(fields.values()))}"):
        adapted("l2_sp", **fields)
