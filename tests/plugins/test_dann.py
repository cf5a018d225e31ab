"""Gradient reversal by calculation: what goes back, how strongly, and that nothing of it is left in what is saved."""

import math
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from lightning.pytorch import Callback
from safetensors.torch import load_file

from tests.conftest import make_rows
from tests.training.sample_tasks import QUICK, prepare
from tlplug.data.features import encode
from tlplug.interfaces.registry import Registry
from tlplug.settings import OptimizerSettings
from tlplug.training.fit import TrainingHooks, adapt
from tlplug_plugins.strategies.layers.reversal import (
    DomainClassifier,
    GradientReversal,
    ReversalSchedule,
    domain_loss,
    ramp,
)


@pytest.fixture
def far(head, tiny_base):
    """A batch without labels, of other lengths."""
    rows = [{"id": row["id"], "text": row["text"] + " camera was"} for row in make_rows(6, 5)]
    return head.collate(head.encode(rows, tiny_base, False), tiny_base)


def test_reversal_changes_nothing_forward_and_the_sign_backward():
    features = torch.randn(3, 4, requires_grad=True)
    found = GradientReversal.apply(features, 0.3)
    assert torch.equal(found, features)
    back = torch.randn(3, 4)
    found.backward(back)
    assert torch.equal(features.grad, -0.3 * back)


def test_the_strength_rises_as_in_the_paper():
    assert ramp(0.0, 10.0) == 0.0
    assert ramp(0.5, 10.0) == pytest.approx(2 / (1 + math.exp(-5)) - 1)
    assert ramp(1.0, 10.0) == pytest.approx(0.99990920)
    assert ramp(0.7, 0.0) == 0.0


def test_the_domains_labels_are_0_and_1_and_both_weigh_the_same():
    source, target = torch.tensor([2.0, -1.0]), torch.tensor([0.5, 0.1, -3.0])
    own = torch.log1p(torch.exp(source)).mean()  # -log(1 - sigmoid)
    other = torch.log1p(torch.exp(-target)).mean()  # -log(sigmoid)
    torch.testing.assert_close(domain_loss(source, target), (own + other) / 2)


def test_the_domain_classifier_learns_while_the_features_unlearn():
    """Beside the same network without reversal: its own gradients are equal, the features' are -strength times theirs."""
    torch.manual_seed(0)
    classify = DomainClassifier(5, 7)
    classify.strength = 0.25
    features = torch.randn(4, 5, requires_grad=True)
    parameters = list(classify.parameters())
    halves = features[:2], features[2:]
    plain = domain_loss(*(classify.layers(half).squeeze(-1) for half in halves))
    expected = torch.autograd.grad(plain, [features, *parameters])
    loss = domain_loss(*(classify(half) for half in halves))
    found = torch.autograd.grad(loss, [features, *parameters])
    assert torch.equal(loss, plain)
    torch.testing.assert_close(found[0], -0.25 * expected[0])
    for one, other in zip(found[1:], expected[1:], strict=True):
        assert torch.equal(one, other)


def pooled(model, batch):
    """What a BERT's classifier is given: the pooled first token."""
    inputs = {name: value for name, value in batch.items() if name not in ("id", "labels")}
    return model.bert(**inputs).pooler_output


def test_the_trunk_gets_the_task_s_gradient_less_the_domains(adapted, batch, far, head):
    strategy, model, _ = adapted("dann", weight=2.0)
    model.eval()
    classify = model.domain_classifier
    classify.strength = 0.4
    weights = list(model.bert.encoder.parameters())
    step = strategy.training_step(model, head, {"main": batch, "target": far})
    found = torch.autograd.grad(step.loss, weights)
    task = head.training_step(model, batch).loss
    domains = domain_loss(*(classify.layers(pooled(model, each)).squeeze(-1) for each in (batch, far)))
    own, other = torch.autograd.grad(task, weights), torch.autograd.grad(domains, weights)
    for gradient, one, two in zip(found, own, other, strict=True):
        torch.testing.assert_close(gradient, one - 0.4 * 2.0 * two, atol=1e-6, rtol=1e-4)
    assert step.loss.item() == pytest.approx(task.item() + 2.0 * domains.item(), rel=1e-5)
    assert step.logs["domain_loss"] == pytest.approx(domains.item(), rel=1e-5)
    assert step.logs["reversal"] == 0.4


def test_the_accuracy_told_is_that_of_the_domain_classifier(adapted, batch, far, head):
    strategy, model, _ = adapted("dann")
    last = model.domain_classifier.layers[-1]
    with torch.no_grad():
        last.weight.zero_()
        last.bias.fill_(-1.0)
    step = strategy.training_step(model, head, {"main": batch, "target": far})
    assert step.logs["domain_accuracy"] == 0.5, "all of the source and none of the target"


class Strengths(Callback):
    def __init__(self):
        self.found = []

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        self.found.append(pl_module.model.domain_classifier.strength)


def build(**fields):
    cls = Registry().find("strategy", "dann").load()
    return cls(cls.Config(**fields))


@pytest.mark.parametrize("accumulate", [1, 2])
def test_it_rises_with_the_steps_of_the_optimizer(tiny_base, accumulate):
    task = prepare(tiny_base, trainer=replace(QUICK, max_epochs=2, accumulate_grad_batches=accumulate))
    rows = [{"id": row["id"], "text": row["text"]} for row in make_rows(10, 7)]
    task.data.streams = {"target": encode(task.head, rows, tiny_base, False)}
    watch = Strengths()
    adapt(task, build(), OptimizerSettings(), TrainingHooks(callbacks=[watch]))
    # Three batches an epoch; of two at a time the second of an epoch has one.
    done = [0, 1, 2, 3, 4, 5] if accumulate == 1 else [0, 0, 1, 2, 2, 3]
    steps = 6 if accumulate == 1 else 4
    assert watch.found == [pytest.approx(ramp(step / steps, 10.0)) for step in done]


def test_a_resumed_training_goes_on_at_its_strength():
    model = torch.nn.Module()
    model.add_module("domain_classifier", DomainClassifier(2, 2))
    module = SimpleNamespace(model=model, total_steps=10)
    ReversalSchedule("domain_classifier", 5.0).on_train_batch_start(
        SimpleNamespace(global_step=6), module, None, 0
    )
    assert model.domain_classifier.strength == pytest.approx(ramp(0.6, 5.0))


def test_the_domain_classifier_has_a_rate_of_its_own_and_is_in_one_group(adapted):
    for fields in ({}, {"layer_decay": 0.5}):
        strategy, model, module = adapted("dann", domain_learning_rate=0.02, **fields)
        groups = strategy.parameter_groups(model, module.settings)
        own = {id(parameter) for parameter in model.domain_classifier.parameters()}
        assert [group["lr"] for group in groups if {id(p) for p in group["params"]} & own] == [0.02]
        everything = [id(parameter) for group in groups for parameter in group["params"]]
        assert len(everything) == len(set(everything)) == len(list(model.parameters()))
        optimizer = strategy.optimizer(groups, module.settings)
        rates = {group["lr"] for group in optimizer.param_groups}
        assert {5e-5, 0.02} <= rates and (len(rates) > 2) == bool(fields)


def test_what_is_saved_is_a_plain_model_without_the_domain_classifier(
    adapted, head, tiny_base, batch, tmp_path
):
    strategy, model, _ = adapted("dann")
    strategy.save(model, tmp_path / "dann")
    full, plain, _ = adapted("full")
    full.save(plain, tmp_path / "full")
    names = [set(load_file(tmp_path / name / "model.safetensors")) for name in ("dann", "full")]
    assert names[0] == names[1]
    loaded = strategy.load(
        head.load_model(tiny_base, strategy.load_options(head)), tmp_path / "dann", tiny_base
    )
    assert type(loaded) is type(plain)
    assert head.predict(loaded.eval(), batch) == head.predict(model.eval(), batch)
    assert hasattr(model, "domain_classifier"), "the model that was trained keeps it"


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"weight": -1.0}, "weight is -1.0"),
        ({"hidden": 0}, "hidden is 0"),
        ({"gamma": -2.0}, "gamma is -2.0"),
        ({"domain_learning_rate": 0.0}, "domain_learning_rate is 0.0"),
    ],
)
def test_nonsense_is_refused(fields, told):
    with pytest.raises(ValueError, match=told):
        build(**fields)
