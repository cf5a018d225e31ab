"""Weights that are at random their pretrained values, by calculation."""

import pytest
import torch
from torch.nn.functional import linear
from transformers.pytorch_utils import Conv1D

from tests.plugins.tiny_generators import gpt2_config
from tlplug.interfaces import AdaptContext
from tlplug_plugins.strategies.layers.mixout import MixoutLayer, enable_mixout, mix_weights

SHARE = 0.7


@pytest.fixture
def weights():
    torch.manual_seed(0)
    return torch.randn(40, 50, requires_grad=True), torch.randn(40, 50)


def test_each_element_is_its_pretrained_value_or_corrected(weights):
    w, w0 = weights
    found = mix_weights(w, w0, SHARE)
    mask = (found == w0).double()
    expected = (mask * w0 + (1 - mask) * w - SHARE * w0) / (1 - SHARE)
    torch.testing.assert_close(found.double(), expected, atol=1e-5, rtol=1e-5)
    assert mask.mean().item() == pytest.approx(SHARE, abs=0.04)


def test_its_mean_is_the_weight(weights):
    w, w0 = weights
    mean = torch.stack([mix_weights(w.detach(), w0, SHARE) for _ in range(4000)]).double().mean(0)
    spread = (w.detach() - w0).abs() * (SHARE / (1 - SHARE) / 4000) ** 0.5
    assert ((mean - w.detach()).abs() < 5 * spread).all()


def test_a_pretrained_element_has_no_gradient_and_the_others_more(weights):
    w, w0 = weights
    found = mix_weights(w, w0, SHARE)
    back = torch.randn_like(found)
    found.backward(back)
    masked = found == w0
    assert masked.any() and (w.grad[masked] == 0).all()
    torch.testing.assert_close(w.grad[~masked], back[~masked] / (1 - SHARE))


@pytest.mark.parametrize("cls", [torch.nn.Linear, Conv1D])
def test_a_layer_mixes_while_it_trains_and_is_itself_when_it_predicts(cls):
    torch.manual_seed(0)
    layer = cls(6, 4) if cls is torch.nn.Linear else cls(4, 6)
    inputs = torch.randn(3, 6)
    began = layer(inputs).detach()
    before, names = layer.weight, list(layer.state_dict())
    enable_mixout(layer, SHARE, torch.device("cpu"))
    torch.testing.assert_close(layer.train()(inputs), began)
    assert layer.weight is before and list(layer.state_dict()) == names and isinstance(layer, cls)
    with torch.no_grad():
        layer.weight += 1.0
    matrix = layer.weight if cls is torch.nn.Linear else layer.weight.T
    torch.testing.assert_close(layer.eval()(inputs), linear(inputs, matrix, layer.bias))
    layer.train()
    drawn = [layer(inputs) for _ in range(2)]
    assert not torch.equal(*drawn), "each pass has a mask of its own"
    torch.manual_seed(1)
    weight = layer.mixed_weight
    torch.manual_seed(1)
    matrix = weight if cls is torch.nn.Linear else weight.T
    torch.testing.assert_close(layer(inputs), linear(inputs, matrix, layer.bias))


def test_it_is_the_trunk_s_linear_layers_that_mix(adapted):
    _, model, _ = adapted("mixout")
    mixing = {name for name, module in model.named_modules() if isinstance(module, MixoutLayer)}
    linears = {name for name, module in model.named_modules() if isinstance(module, torch.nn.Linear)}
    assert mixing == linears - {"classifier"} and len(mixing) == 2 * 6 + 1
    _, full, _ = adapted("full")
    assert list(model.state_dict()) == list(full.state_dict())


def test_a_gpt_2_mixes_too(head, tiny_base):
    from transformers import GPT2LMHeadModel

    from tlplug.interfaces.registry import Registry

    model = GPT2LMHeadModel(gpt2_config(30)).train()
    strategy = Registry().find("strategy", "mixout").load()()
    strategy.adapt(model, AdaptContext(head, tiny_base, 0, None, torch.device("cpu")))
    assert sum(isinstance(module, MixoutLayer) for module in model.modules()) == 2 * 4
    assert not isinstance(model.lm_head, MixoutLayer)


def test_with_a_share_of_0_it_is_full(adapted, two_steps):
    weights = []
    for name, fields in (("full", {}), ("mixout", {"share": 0.0})):
        _, model, module = adapted(name, **fields)
        torch.manual_seed(1)
        two_steps(module)
        weights.append(model.state_dict())
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])


def test_it_replaces_the_trunk_s_dropout(adapted, batch):
    _, model, _ = adapted("mixout")
    inputs = {key: value for key, value in batch.items() if key not in ("id", "labels")}
    with torch.no_grad():
        before = [model.bert(**inputs).pooler_output for _ in range(2)]
        assert torch.equal(*before), "nothing has moved, so there is nothing to mix"
        for parameter in model.parameters():
            parameter += 0.01
        after = [model.bert(**inputs).pooler_output for _ in range(2)]
    assert not torch.equal(*after)
    assert model.dropout.p == model.config.hidden_dropout_prob == 0.1
    _, model, _ = adapted("mixout", keep_dropout=True)
    assert {module.p for module in model.modules() if isinstance(module, torch.nn.Dropout)} == {0.1}


def test_stock_transformers_loads_what_is_saved(adapted, two_steps, batch, tmp_path):
    from transformers import AutoModelForSequenceClassification

    strategy, model, module = adapted("mixout")
    two_steps(module)
    strategy.save(model, tmp_path)
    stock = AutoModelForSequenceClassification.from_pretrained(tmp_path).eval()
    assert not any(isinstance(module, MixoutLayer) for module in stock.modules())
    assert stock.bert.encoder.layer[0].output.dropout.p == 0.1
    inputs = {key: value for key, value in batch.items() if key not in ("id", "labels")}
    with torch.no_grad():
        assert torch.equal(stock(**inputs).logits, model.eval()(**inputs).logits)


def test_the_backward_pass_of_gradient_checkpointing_draws_the_same(adapted, batch, head):
    gradients = []
    for checkpointing in (False, True):
        strategy, model, _ = adapted("mixout")
        with torch.no_grad():
            for parameter in model.parameters():
                parameter += 0.01
        if checkpointing:
            model.gradient_checkpointing_enable({"use_reentrant": False})
        torch.manual_seed(3)
        strategy.training_step(model, head, {"main": batch}).loss.backward()
        gradients.append(torch.cat([p.grad.flatten() for p in model.parameters()]))
    torch.testing.assert_close(*gradients)


@pytest.mark.parametrize("share", [-0.1, 1.0])
def test_nonsense_is_refused(adapted, share):
    with pytest.raises(ValueError, match=rf"share is {share}; it must be in \[0, 1\)"):
        adapted("mixout", share=share)
