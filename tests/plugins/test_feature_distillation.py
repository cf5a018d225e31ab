"""The distance from the base model's features, by hand, and that it keeps them."""

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from tests.conftest import make_rows
from tests.plugins.tiny_generators import CONFIGS
from tlplug_plugins.strategies.bases.feature_alignment import calls_of, trunk


@pytest.fixture
def source(head, tiny_base):
    """A batch of other texts, without labels."""
    rows = [{"id": row["id"], "text": "the camera and " + row["text"]} for row in make_rows(6, 9)]
    return head.collate(head.encode(rows, tiny_base, False), tiny_base)


def without_dropout(model):
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    return model


def means(model, batch):
    """The mean over each text's real tokens, in a loop."""
    with torch.no_grad():
        inputs = {name: value for name, value in batch.items() if name not in ("id", "labels")}
        states = model.bert(**inputs).last_hidden_state
    lengths = batch["attention_mask"].sum(1).tolist()
    assert len(set(lengths)) > 1
    return np.stack(
        [row[:length].double().numpy().mean(0) for row, length in zip(states, lengths, strict=True)]
    )


def moved(model):
    torch.manual_seed(2)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.02 * torch.randn_like(parameter)


def by_hand(distance, now, before):
    if distance == "squared":
        return np.square(now - before).mean()
    norms = np.linalg.norm(now, axis=1) * np.linalg.norm(before, axis=1)
    return (1 - (now * before).sum(1) / norms).mean()


@pytest.mark.parametrize("distance", ["squared", "cosine"])
@pytest.mark.parametrize("given", [True, False], ids=["source", "task"])
def test_it_is_zero_at_first_and_then_as_by_hand(adapted, batch, source, head, distance, given):
    strategy, model, _ = adapted("feature_distillation", distance=distance, weight=3.0)
    without_dropout(model)
    batches = {"main": batch, **({"source": source} if given else {})}
    texts = source if given else batch
    before = means(model, texts)
    first = strategy.training_step(model, head, batches)
    assert first.logs["feature_distance"] == pytest.approx(0.0, abs=1e-6)
    moved(model)
    step = strategy.training_step(model, head, batches)
    expected = by_hand(distance, means(model, texts), before)
    assert step.logs["feature_distance"] == pytest.approx(expected, rel=1e-4) and expected > 1e-4
    assert step.loss.item() == pytest.approx(
        head.training_step(model, batch).loss.item() + 3.0 * expected, rel=1e-5
    )


def test_its_gradient_is_that_of_the_difference(adapted, batch, source, head):
    """Of the last norm's bias b, which is a part of every feature: 2 mean_B(f - f0) / D."""
    strategy, model, _ = adapted("feature_distillation")
    without_dropout(model)
    before = means(model, source)
    moved(model)
    bias = model.bert.encoder.layer[-1].output.LayerNorm.bias
    gradients = []
    for batches in ({"main": batch, "source": source}, None):
        step = strategy.training_step(model, head, batches) if batches else head.training_step(model, batch)
        gradients.append(torch.autograd.grad(step.loss, bias)[0].double().numpy())
    difference = means(model, source) - before
    expected = 2 * difference.mean(0) / difference.shape[1]
    np.testing.assert_allclose(gradients[0] - gradients[1], expected, atol=1e-6)
    assert np.abs(expected).max() > 1e-4


def test_the_base_model_s_copy_stays_as_it_was_and_in_eval_mode(adapted, two_steps, batch, head):
    strategy, model, module = adapted("feature_distillation")
    before = {name: tensor.clone() for name, tensor in strategy.teacher.state_dict().items()}
    two_steps(module)
    module.train()
    assert all(torch.equal(strategy.teacher.state_dict()[name], before[name]) for name in before)
    assert not any(part.training for part in strategy.teacher.modules())
    assert not any(parameter.requires_grad for parameter in strategy.teacher.parameters())
    assert {id(p) for p in strategy.teacher.parameters()}.isdisjoint(id(p) for p in model.parameters())
    assert not torch.equal(next(model.bert.parameters()), next(strategy.teacher.parameters()))


def test_nothing_more_is_saved_than_full_saves(adapted, tmp_path):
    for name in ("full", "feature_distillation"):
        strategy, model, _ = adapted(name)
        strategy.save(model, tmp_path / name)
    names = [
        set(load_file(tmp_path / name / "model.safetensors")) for name in ("full", "feature_distillation")
    ]
    assert names[0] == names[1]


def test_without_weight_it_is_full(adapted, batch, head):
    weights = []
    for name, fields in (("full", {}), ("feature_distillation", {"weight": 0.0})):
        strategy, model, _ = adapted(name, **fields)
        optimizer = torch.optim.SGD(model.parameters(), 0.1)
        torch.manual_seed(1)
        for _ in range(2):
            optimizer.zero_grad()
            strategy.training_step(model, head, {"main": batch}).loss.backward()
            optimizer.step()
        weights.append(model.state_dict())
    for name, tensor in weights[0].items():
        torch.testing.assert_close(weights[1][name], tensor, atol=1e-7, rtol=0)


def test_features_of_the_source_stay_nearer_than_with_full(adapted, batch, source, head):
    distances, losses = {}, {}
    for name, fields in (("full", {}), ("feature_distillation", {"weight": 1.0})):
        strategy, model, _ = adapted(name, **fields)
        before = means(without_dropout(model), source)
        optimizer = torch.optim.AdamW(model.parameters(), 5e-4)
        for _ in range(30):
            optimizer.zero_grad()
            step = strategy.training_step(model, head, {"main": batch, "source": source})
            step.loss.backward()
            optimizer.step()
        distances[name] = np.square(means(model, source) - before).mean()
        losses[name] = head.training_step(model, batch).loss.item()
    assert distances["feature_distillation"] < distances["full"] / 4
    assert losses["feature_distillation"] < 0.45, "and the task is learnt"


@pytest.mark.parametrize(
    ("name", "auto", "found"),
    [
        ("bert", "AutoModelForMaskedLM", "bert"),
        ("llama", "AutoModelForCausalLM", "model"),
        ("t5", "AutoModelForSeq2SeqLM", "encoder"),
        ("t5", "AutoModelForTokenClassification", "transformer"),
        ("t5", "AutoModelForSequenceClassification", "transformer.encoder"),
        ("bart", "AutoModelForSequenceClassification", "model.encoder"),
        ("gpt2", "AutoModelForSequenceClassification", "transformer"),
    ],
)
def test_the_trunk_of_each_kind(name, auto, found):
    import transformers

    model = getattr(transformers, auto).from_config(CONFIGS[name](30))
    assert trunk(model) is model.get_submodule(found)


def test_a_call_is_noted_while_it_is_asked_for(adapted, batch, head):
    _, model, _ = adapted("full")
    with calls_of(trunk(model)) as calls:
        head.training_step(model, batch)
    head.training_step(model, batch)
    (call,) = calls
    assert torch.equal(call.arguments[0], batch["input_ids"])
    assert torch.equal(call.keywords["attention_mask"], batch["attention_mask"])


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"weight": -1.0}, "weight is -1.0; it must be at least 0"),
        ({"distance": "manhattan"}, "distance is 'manhattan'; it must be one of squared, cosine"),
    ],
)
def test_nonsense_is_refused(adapted, fields, told):
    with pytest.raises(ValueError, match=told):
        adapted("feature_distillation", **fields)
