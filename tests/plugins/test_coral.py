"""The distance between covariances, by hand, and that it is what the step adds."""

import numpy as np
import pytest
import torch

from tests.conftest import make_rows
from tlplug import UsageError
from tlplug_plugins.strategies.layers.features import coral


@pytest.fixture
def far(head, tiny_base):
    """A batch without labels, of other lengths."""
    rows = [{"id": row["id"], "text": row["text"] + " film was"} for row in make_rows(6, 5)]
    return head.collate(head.encode(rows, tiny_base, False), tiny_base)


def by_numpy(source, target):
    difference = np.cov(source, rowvar=False) - np.cov(target, rowvar=False)
    return np.square(difference).sum() / (4 * source.shape[1] ** 2)


def test_it_is_the_distance_of_numpy_s_covariances():
    draw = np.random.default_rng(0)
    source, target = draw.normal(size=(9, 5)), draw.normal(2.0, 3.0, size=(7, 5))
    found = coral(torch.tensor(source), torch.tensor(target))
    assert found.item() == pytest.approx(by_numpy(source, target), rel=1e-12)


def test_it_is_zero_for_equal_spreads_wherever_they_lie():
    features = torch.randn(8, 4, dtype=torch.float64)
    assert coral(features, features).item() == 0.0
    assert coral(features, features.flip(0) + 3.0).item() == pytest.approx(0.0, abs=1e-25)
    assert coral(features, 2 * features).item() > 0.01


def test_its_gradient_is_that_of_finite_differences():
    torch.manual_seed(0)
    source, target = (torch.randn(n, 3, dtype=torch.float64, requires_grad=True) for n in (5, 4))
    assert torch.autograd.gradcheck(coral, (source, target))


def test_autocast_does_not_round_it():
    torch.manual_seed(0)
    source, target = torch.randn(32, 64), 1.001 * torch.randn(32, 64)
    with torch.autocast("cpu", torch.bfloat16):
        found = coral(source, target)
    assert found.item() == pytest.approx(by_numpy(source.double(), target.double()), rel=1e-4)


def pooled(model, batch):
    """What a BERT's classifier is given: the pooled first token."""
    inputs = {name: value for name, value in batch.items() if name not in ("id", "labels")}
    return model.bert(**inputs).pooler_output


def test_the_step_adds_the_weighted_distance_of_both_batches(adapted, batch, far, head):
    strategy, model, _ = adapted("coral", weight=7.0)
    model.eval()
    step = strategy.training_step(model, head, {"main": batch, "target": far})
    plain = head.training_step(model, batch)
    features = [pooled(model, each) for each in (batch, far)]
    expected = by_numpy(*(each.detach().double().numpy() for each in features))
    assert step.logs["coral"] == pytest.approx(expected, rel=1e-4)
    assert step.loss.item() == pytest.approx(plain.loss.item() + 7.0 * expected, rel=1e-5)
    assert step.num_items == plain.num_items


def test_both_batches_features_move(adapted, batch, far, head):
    # So large a weight that the task's part of the gradient is nothing beside it.
    strategy, model, _ = adapted("coral", weight=1e15)
    model.eval()
    weights = list(model.bert.encoder.layer[-1].parameters())
    step = strategy.training_step(model, head, {"main": batch, "target": far})
    whole = 1e15 * coral(*(pooled(model, each) for each in (batch, far)))
    found, expected = (
        torch.cat([part.flatten() for part in torch.autograd.grad(loss, weights)])
        for loss in (step.loss, whole)
    )
    assert (found - expected).norm() < 0.01 * expected.norm()


def test_training_brings_the_spreads_together(adapted, batch, far, head):
    distances = {}
    for weight in (0.0, 1e4):
        strategy, model, _ = adapted("coral", weight=weight)
        model.eval()
        optimizer = torch.optim.AdamW(model.parameters(), 1e-3)
        for _ in range(15):
            optimizer.zero_grad()
            step = strategy.training_step(model, head, {"main": batch, "target": far})
            step.loss.backward()
            optimizer.step()
        distances[weight] = step.logs["coral"]
    assert distances[1e4] < distances[0.0] / 4


def test_a_last_batch_of_one_row_has_no_distance(adapted, batch, far, head):
    strategy, model, _ = adapted("coral")
    one = {name: value[:1] for name, value in batch.items()}
    step = strategy.training_step(model, head, {"main": one, "target": far})
    assert step.logs["coral"] == 0.0 and torch.isfinite(step.loss)


def test_batches_of_one_row_are_refused(adapted, batch, far, head):
    strategy, model, _ = adapted("coral")
    one = {name: value[:1] for name, value in far.items()}
    with pytest.raises(UsageError, match="set data.batch_size to 2 or more"):
        strategy.training_step(model, head, {"main": batch, "target": one})


def test_nonsense_is_refused(adapted):
    with pytest.raises(ValueError, match=r"weight is -1\.0; it must be at least 0"):
        adapted("coral", weight=-1.0)
