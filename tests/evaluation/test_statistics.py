import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import bootstrap

from tlplug.evaluation.bootstrap import Comparison, compare_paired, resampled_means
from tlplug.evaluation.confidence_intervals import jackknife_values
from tlplug.evaluation.verdict import judge


def test_interval_agrees_with_scipy():
    draw = np.random.default_rng(1)
    run, other = draw.integers(0, 2, 300).astype(float), draw.integers(0, 2, 300).astype(float)
    ours = compare_paired(run, other, resamples=20_000)
    theirs = bootstrap(
        (run - other,), np.mean, n_resamples=20_000, method="percentile", rng=0
    ).confidence_interval
    assert ours.difference == pytest.approx(np.mean(run) - np.mean(other))
    assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high), abs=0.006)


def test_resampled_means_have_the_bootstrap_s_moments():
    values = np.array([0.0, 0.0, 1.0, -1.0, 0.25])
    means = resampled_means(values, 200_000, np.random.default_rng(0))
    assert means.mean() == pytest.approx(values.mean(), abs=0.005)
    assert means.var() == pytest.approx(values.var() / len(values), rel=0.02)


@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=60))
@settings(deadline=None, max_examples=50)
def test_swapping_the_two_turns_the_sign(pairs):
    run, other = ([float(pair[side]) for pair in pairs] for side in (0, 1))
    there, back = compare_paired(run, other, resamples=500), compare_paired(other, run, resamples=500)
    assert there.difference == pytest.approx(-back.difference)
    assert there.low <= there.difference + 1e-12 and there.difference <= there.high + 1e-12


def test_same_predictions_have_an_interval_of_zero():
    found = compare_paired([1.0, 0.0, 1.0], [1.0, 0.0, 1.0])
    assert (found.difference, found.low, found.high) == (0.0, 0.0, 0.0)


@pytest.mark.parametrize(("run", "other"), [([], []), ([1.0], [1.0, 0.0])])
def test_what_is_not_paired_is_refused(run, other):
    with pytest.raises(ValueError, match="one length above 0"):
        compare_paired(run, other)


SCRATCH = "scratch"


def comparison(difference, low, high, baseline_mean=0.5):
    return Comparison(difference, low, high, baseline_mean)


@pytest.mark.parametrize(
    ("low", "high", "label"),
    [(0.01, 0.2, "positive"), (-0.2, -0.01, "negative"), (-0.1, 0.1, "inconclusive")],
)
def test_verdict_follows_the_interval_against_scratch(low, high, label):
    middle = (low + high) / 2
    others = {"trivial": comparison(0.4, 0.3, 0.5, 0.9), "scratch": comparison(middle, low, high)}
    found = judge(others, Accuracy(), SCRATCH)
    assert (found.label, found.baseline, found.difference) == (label, "scratch", middle)
    assert f"{100 * abs(middle):.1f} points" in found.text


def test_without_scratch_the_best_baseline_is_named_and_said_so():
    others = {"trivial": comparison(0.3, 0.2, 0.4, 0.5), "linear_probe": comparison(0.1, 0.05, 0.2, 0.7)}
    found = judge(others, Accuracy(), SCRATCH)
    assert (found.label, found.baseline) == ("positive", "linear_probe")
    assert "linear_probe" in found.text and "would take training from scratch" in found.text


def test_a_baseline_is_scratch_by_what_it_does_and_not_by_its_name():
    others = {"trivial": comparison(0.4, 0.3, 0.5, 0.9), "random_bert": comparison(0.1, 0.05, 0.2)}
    found = judge(others, Accuracy(), "random_bert")
    assert found.baseline == "random_bert" and found.text.startswith("Positive transfer")
    others = {"trivial": comparison(0.4, 0.3, 0.5, 0.9), SCRATCH: comparison(0.1, 0.05, 0.2)}
    assert judge(others, Accuracy(), None).baseline == "trivial"


def test_where_lower_is_better_a_lower_score_is_positive():
    found = judge({"scratch": comparison(-2.0, -3.0, -1.0, 9.0)}, Perplexity(), SCRATCH)
    assert found.label == "positive" and found.difference == -2.0


def test_nothing_to_compare_with_is_no_verdict():
    assert judge({}, Accuracy(), None).label == "none"


class Accuracy:
    primary_score, higher_is_better, display_scale = "accuracy", True, 100


class Perplexity:
    primary_score, higher_is_better, display_scale = "perplexity", False, 1


def f1(sums):
    return 2 * sums[..., 0] / np.maximum(sums[..., 1], 1)


counts = st.lists(st.tuples(st.integers(0, 5), st.integers(0, 9)), min_size=1, max_size=40)


@given(counts)
@settings(deadline=None)
def test_shares_average_to_the_score(rows):
    assert np.mean(jackknife_values(rows, f1)) == pytest.approx(float(f1(np.sum(rows, 0))), abs=1e-9)


def test_the_shares_of_a_mean_are_the_values_themselves():
    values = np.random.default_rng(0).normal(size=30)
    shares = jackknife_values(np.stack([values, np.ones(30)], 1), lambda s: s[..., 0] / s[..., 1])
    assert shares == pytest.approx(values)


def test_their_bootstrap_has_the_spread_of_the_score_s_own():
    draw = np.random.default_rng(3)
    rows = np.stack([draw.binomial(4, 0.6, 300), np.full(300, 8) - draw.integers(0, 3, 300)], 1)
    found = compare_paired(jackknife_values(rows, f1), np.zeros(300))
    own = [float(f1(rows[draw.integers(0, 300, 300)].sum(0))) for _ in range(4000)]
    low, high = np.percentile(own, [2.5, 97.5])
    assert (found.low, found.high) == pytest.approx((low, high), abs=0.004)
