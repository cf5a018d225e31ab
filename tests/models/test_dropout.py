"""Dropout by bytes: its rate, its expectation, its gradient, and where it stands."""

from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from tests.training.sample_tasks import prepare, strategy
from tlplug.models.dropout import STEPS, ByteDropout, draw_mask, use_byte_dropout
from tlplug.settings import ModelSettings, OptimizerSettings
from tlplug.training.fit import build_module, load

CPU = torch.device("cpu")
MANY = 2_000_000


@pytest.mark.parametrize("rate", [0.05, 0.1, 0.3, 0.5, 0.9])
def test_the_rate_is_kept_to_half_a_step_and_the_expectation_is_exact(rate):
    torch.manual_seed(0)
    module = ByteDropout(rate)
    assert abs(module.dropped / STEPS - rate) <= 1 / 512
    found = module(torch.ones(MANY))
    exact = module.dropped / STEPS
    deviation = (exact * (1 - exact) / MANY) ** 0.5
    assert (found == 0).float().mean().item() == pytest.approx(exact, abs=4 * deviation)
    scale = STEPS / (STEPS - module.dropped)
    assert found.unique().tolist() == [0.0, pytest.approx(scale)]
    # Whatever the number of draws: what stays, times how often it stays, is one.
    assert scale * (1 - exact) == pytest.approx(1.0)


def test_every_place_of_a_word_is_drawn_alike_and_no_two_are_alike():
    torch.manual_seed(0)
    masks = draw_mask(torch.empty(MANY), 128).view(-1, 8).float()
    assert masks.mean(0) == pytest.approx(torch.full((8,), 0.5), abs=0.005)
    off = torch.corrcoef(masks.T) - torch.eye(8)
    assert off.abs().max() < 0.01


@settings(max_examples=25)
@given(st.lists(st.integers(0, 9), min_size=1, max_size=3), st.floats(0.0, 1.0), st.booleans())
def test_any_shape_rate_and_mode(shape, rate, training):
    values = torch.ones(shape)
    found = ByteDropout(rate).train(training)(values)
    assert found.shape == values.shape
    if not training or rate < 1 / 512:
        assert torch.equal(found, values)
    if training and rate > 1 - 1 / 512:
        assert not found.any()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_gradient_goes_where_the_values_went(dtype):
    values = torch.randn(5, 7, dtype=dtype, requires_grad=True)
    found = ByteDropout(0.25)(values)
    assert found.dtype == dtype
    found.sum().backward()
    assert torch.equal(values.grad, torch.where(found == 0, 0, torch.tensor(256 / 192, dtype=dtype)))


def test_it_is_drawn_from_the_global_generator():
    torch.manual_seed(5)
    first = ByteDropout(0.5)(torch.ones(100))
    second = ByteDropout(0.5)(torch.ones(100))
    torch.manual_seed(5)
    assert torch.equal(first, ByteDropout(0.5)(torch.ones(100))) and not torch.equal(first, second)


def test_dropout_modules_are_replaced_and_no_others():
    model = nn.Sequential(
        nn.Linear(2, 2), nn.Dropout(0.1), nn.Sequential(nn.Dropout(0.2).eval()), nn.AlphaDropout(0.3)
    )
    names = list(model.state_dict())
    use_byte_dropout(model)
    assert [type(module) for module in model] == [nn.Linear, ByteDropout, nn.Sequential, nn.AlphaDropout]
    assert (model[1].p, model[2][0].p, model[1].training, model[2][0].training) == (0.1, 0.2, True, False)
    assert list(model.state_dict()) == names


def kinds(base, name):
    model = load(prepare(base), strategy(name), CPU)
    return {type(module) for module in model.modules() if isinstance(module, nn.Dropout)}


def test_a_model_and_its_adapter_are_trained_with_it_unless_it_is_switched_off(tiny_base):
    assert ModelSettings().fast_dropout
    assert kinds(replace(tiny_base, fast_dropout=True), "lora") == {ByteDropout}
    assert kinds(replace(tiny_base, fast_dropout=False), "lora") == {nn.Dropout}


def test_the_mean_loss_is_that_of_torch_s_dropout(tiny_base):
    """Over many masks: the two differ by less than the spread of their means."""
    losses = {}
    for fast in (True, False):
        task = prepare(replace(tiny_base, fast_dropout=fast))
        torch.manual_seed(0)
        module = build_module(task, strategy("full"), OptimizerSettings(), CPU, 1)
        batch = next(task.data.train_batches())
        with torch.no_grad():
            losses[fast] = torch.stack(
                [task.head.training_step(module.model, batch).loss for _ in range(300)]
            )
    difference = losses[True].mean() - losses[False].mean()
    spread = (losses[True].var() / 300 + losses[False].var() / 300).sqrt()
    assert losses[True].std() > 0 and abs(difference) < 4 * spread
