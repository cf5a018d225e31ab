"""learning_curve, negative_transfer, calibration."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from omegaconf import OmegaConf
from scipy import stats
from torchmetrics.functional.classification import multiclass_calibration_error

from tlplug import NotMeasured, compare_paired
from tlplug.interfaces.registry import Registry
from tlplug_plugins.metrics.calibration import calibration_error
from tlplug_plugins.metrics.learning_curve import learning_curve
from tlplug_plugins.metrics.negative_transfer import OVER_EXAMPLES, OVER_SEEDS, negative_transfer

LearningCurve, NegativeTransfer, Calibration = (
    Registry().find("metric", name).load() for name in ("learning_curve", "negative_transfer", "calibration")
)
X, T, S = [0, 100, 300], [0.5, 0.8, 0.9], [0.2, 0.4, 0.8]


def test_a_learning_curve_by_hand():
    found = learning_curve(X, T, S, 0.8)
    # Areas: 65 + 170 = 235 of the transfer, 30 + 120 = 150 of scratch.
    assert found == {
        "jumpstart": pytest.approx(0.3),
        "asymptotic_gain": pytest.approx(0.1),
        "area": pytest.approx(85.0),
        "transfer_ratio": pytest.approx(85 / 150),
        "examples_to_threshold": 100.0,
        "scratch_examples_to_threshold": 300.0,
    }


def test_where_lower_scores_are_better_gains_are_falls():
    found = learning_curve([0, 10], [6.0, 2.0], [8.0, 4.0], 4.0, higher_is_better=False)
    assert found == {
        "jumpstart": 2.0,
        "asymptotic_gain": 2.0,
        "area": 20.0,
        "transfer_ratio": pytest.approx(20 / 60),
        "examples_to_threshold": 10.0,
        "scratch_examples_to_threshold": 10.0,
    }


scores = st.lists(st.floats(0.01, 1), min_size=4, max_size=4)


@settings(max_examples=25)
@given(scores, scores, st.floats(0, 1))
def test_turning_the_scores_and_their_direction_changes_no_difference(t, s, threshold):
    up = learning_curve([1, 2, 4, 8], t, s, threshold)
    down = learning_curve([1, 2, 4, 8], [-a for a in t], [-a for a in s], -threshold, higher_is_better=False)
    for name in set(up) - {"transfer_ratio"}:
        if isinstance(up[name], NotMeasured):
            assert isinstance(down[name], NotMeasured)
        else:
            assert up[name] == pytest.approx(down[name])
    swapped = learning_curve([1, 2, 4, 8], s, t, threshold)
    assert up["area"] == pytest.approx(-swapped["area"])
    assert (1 + up["transfer_ratio"]) * (1 + swapped["transfer_ratio"]) == pytest.approx(1)


def test_what_a_curve_cannot_tell_says_why():
    single = learning_curve([5], [0.5], [0.4], 0.9)
    assert single["jumpstart"] == single["asymptotic_gain"] == pytest.approx(0.1)
    for name in ("area", "transfer_ratio"):
        assert "only one validation" in str(single[name])
    assert "threshold of 0.9" in str(single["examples_to_threshold"])
    below = learning_curve([1, 2], [0.5, 0.5], [-0.2, 0.2], 0.5)
    assert isinstance(below["transfer_ratio"], NotMeasured) and below["area"] == pytest.approx(0.5)


@pytest.mark.parametrize(
    "given",
    [
        ([1, 2], [0.1], [0.1], 0.5),
        ([2, 1], [0.1, 0.1], [0.1, 0.1], 0.5),
        ([1, 1], [0.1, 0.1], [0.1, 0.1], 0.5),
        ([1, 2], [0.1, float("nan")], [0.1, 0.1], 0.5),
        ([], [], [], 0.5),
    ],
)
def test_curves_that_are_none_are_refused(given):
    with pytest.raises(ValueError, match="curves must|must ascend"):
        learning_curve(*given)


def curves(transfer=T, scratch=S, x=X):
    return {
        "curve/after": np.column_stack([X, transfer]),
        "curve/baseline/scratch": np.column_stack([x, scratch]),
    }


def test_the_threshold_is_what_scratch_ends_with_unless_it_is_a_field():
    assert LearningCurve().measure(curves())["examples_to_threshold"] == 100.0
    config = OmegaConf.merge(OmegaConf.structured(LearningCurve.Config), {"threshold": 0.85})
    found = LearningCurve(OmegaConf.to_object(config)).measure(curves())
    assert found["examples_to_threshold"] == 300.0
    assert "0.85" in str(found["scratch_examples_to_threshold"])
    lower = LearningCurve().measure({**curves([9, 3, 2], [9, 8, 7]), "higher_is_better": False})
    assert lower["jumpstart"] == 0.0 and lower["examples_to_threshold"] == 100.0


def test_without_scratch_or_with_other_counts_there_is_no_comparison():
    with pytest.raises(NotMeasured, match="transfer.baselines"):
        LearningCurve().measure({"curve/after": curves()["curve/after"]})
    with pytest.raises(NotMeasured, match="different numbers of examples"):
        LearningCurve().measure(curves(x=[0, 100, 200]))
    empty = np.zeros((0, 2))
    with pytest.raises(NotMeasured, match="no validation"):
        LearningCurve().measure({"curve/after": empty, "curve/baseline/scratch": empty})
    with pytest.raises(ValueError, match="threshold is nan"):
        LearningCurve.Config(threshold=float("nan"))


# negative_transfer


def test_one_seed_is_the_paired_bootstrap():
    draw = np.random.default_rng(3)
    transfer, scratch = draw.random(50), draw.random(50)
    found, stock = negative_transfer(transfer, scratch, seed=7), compare_paired(transfer, scratch, seed=7)
    assert (found.difference, found.low, found.high) == (stock.difference, stock.low, stock.high)
    assert (found.seeds, found.interval) == (1, OVER_EXAMPLES)
    assert negative_transfer(transfer[None], scratch[None], seed=7) == found


@settings(max_examples=20)
@given(st.integers(2, 6), st.integers(1, 9), st.integers(0, 10**6))
def test_seeds_are_scipy_s_paired_t_interval(seeds, examples, state):
    draw = np.random.default_rng(state)
    transfer, scratch = draw.random((2, seeds, examples))
    found = negative_transfer(transfer, scratch)
    stock = stats.ttest_rel(transfer.mean(1), scratch.mean(1)).confidence_interval()
    assert (found.low, found.high) == pytest.approx((stock.low, stock.high), rel=1e-9)
    assert found.difference == pytest.approx((transfer - scratch).mean())
    assert (found.seeds, found.interval) == (seeds, OVER_SEEDS)
    turned = negative_transfer(-transfer, -scratch, higher_is_better=True)
    assert turned == found


def test_seeds_by_hand():
    # Differences of mean errors are 0.1 and 0.3: mean 0.2, sd 0.1414, half 12.7062 x 0.1.
    found = negative_transfer([[0.2, 0.4], [0.5, 0.7]], [[0.1, 0.3], [0.2, 0.4]])
    assert found.difference == pytest.approx(0.2)
    assert found.high - found.difference == pytest.approx(1.2706204736, rel=1e-9)


def evidence_of(run, scratch, higher=True):
    return {
        "example_scores/after": np.array(run),
        "example_scores/baseline/scratch": np.array(scratch),
        "higher_is_better": higher,
    }


def test_a_run_below_scratch_has_an_error_above_it():
    found = NegativeTransfer().measure(evidence_of([0.0] * 30 + [1.0] * 10, [1.0] * 40))
    assert found["error_difference"] == pytest.approx(0.75) and found["seeds"] == 1
    assert 0 < found["low"] < 0.75 < found["high"]
    perplexity = NegativeTransfer().measure(evidence_of([2.0, 3.0], [5.0, 5.0], higher=False))
    assert perplexity["error_difference"] == -2.5 and perplexity["high"] == -2.0


def test_negative_transfer_needs_scratch_and_pairs():
    with pytest.raises(NotMeasured, match="transfer.baselines"):
        NegativeTransfer().measure({"example_scores/after": np.ones(2)})
    for first, second in [([1.0], [1.0, 2.0]), ([], []), ([[[1.0]]], [[[1.0]]])]:
        with pytest.raises(ValueError, match="errors must be"):
            negative_transfer(first, second)
    with pytest.raises(ValueError, match="finite"):
        negative_transfer([float("nan")], [0.0])


# calibration


@settings(max_examples=25)
@given(st.integers(2, 5), st.integers(1, 60), st.integers(1, 20), st.integers(0, 10**6))
def test_it_is_torchmetrics_calibration_error(labels, rows, bins, state):
    draw = np.random.default_rng(state)
    # Some of the numbers are 1, where torchmetrics has a bin of its own; float32, in which it computes.
    logits = draw.normal(size=(rows, labels)) * draw.choice([1, 5, 200], size=(rows, 1))
    probabilities = torch.tensor(logits, dtype=torch.float32).softmax(1)
    classes = draw.integers(0, labels, rows)
    stock = multiclass_calibration_error(probabilities, torch.tensor(classes), labels, n_bins=bins)
    assert calibration_error(probabilities.numpy(), classes, bins) == pytest.approx(float(stock), abs=5e-7)


def test_calibration_by_hand():
    # Confidences 0.9, 0.9, 0.6: in their bins the accuracies are 1/2 and 0.
    probabilities = [[0.9, 0.1], [0.1, 0.9], [0.6, 0.4]]
    assert calibration_error(probabilities, [0, 0, 1]) == pytest.approx(2 / 3 * 0.4 + 1 / 3 * 0.6, rel=1e-12)
    assert calibration_error([[1.0, 0.0]] * 3, [0, 0, 0]) == 0.0
    assert calibration_error([[1.0, 0.0]] * 3, [1, 1, 1]) == 1.0
    # A confidence of exactly 1 stands in a bin of its own, where it cannot make up for another.
    assert calibration_error([[1.0, 0.0], [0.96, 0.04]], [1, 0]) == pytest.approx((1 + 0.04) / 2, rel=1e-12)
    # One bin: mean confidence 0.8 against an accuracy of 1/3.
    assert calibration_error(probabilities, [0, 0, 1], bins=1) == pytest.approx(0.8 - 1 / 3, rel=1e-12)


def predictions(*of_yes):
    return [
        {"id": number, "prediction": "yes" if p > 0.5 else "no", "probabilities": {"no": 1 - p, "yes": p}}
        for number, p in enumerate(of_yes)
    ]


CALIBRATION = {
    "labels": ["no", "yes"],
    "targets": [{"label": "yes"}, {"label": "no"}],
    "predictions/after": predictions(0.9, 0.1),
    "predictions/before": predictions(0.8, 0.8),
    "predictions/baseline/trivial": predictions(1.0, 1.0),
    "predictions/baseline/lead": [{"id": 0, "prediction": "yes"}, {"id": 1, "prediction": "yes"}],
}


def test_calibration_and_its_changes():
    found = Calibration().measure(CALIBRATION)
    assert found == {
        "error": pytest.approx(0.1),
        "change": pytest.approx(0.1 - 0.3),
        "change/trivial": pytest.approx(0.1 - 0.5),
    }


def test_labels_that_are_numbers_are_found_by_their_names():
    probabilities = [{"prediction": "1", "probabilities": {"0": 0.2, "1": 0.8}}]
    given = {"labels": ["0", "1"], "targets": [{"label": 1}], "predictions/after": probabilities}
    found = Calibration().measure(given)
    assert found["error"] == pytest.approx(0.2) and isinstance(found["change"], NotMeasured)
    told = Calibration().measure({**given, "reasons": {"predictions/before": "the head is new"}})
    assert str(told["change"]) == "the head is new"


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({"predictions/after": [{"prediction": "yes"}, {"prediction": "no"}]}, "no probabilities"),
        ({"predictions/after": [{"probabilities": {"no": 0.9, "yes": 0.9}}] * 2}, "do not sum to 1"),
        ({"predictions/after": [{"probabilities": {"no": 1.0, "maybe": 0.0}}] * 2}, "no probabilities"),
        ({"targets": [{"label": "maybe"}, {"label": "no"}]}, "targets"),
        ({"targets": [{"label": "no", "other": "no"}] * 2}, "targets"),
        ({"labels": [], "targets": []}, "no labels"),
    ],
)
def test_other_predictions_have_no_calibration(changed, why):
    with pytest.raises(NotMeasured, match=why):
        Calibration().measure({**CALIBRATION, **changed})
