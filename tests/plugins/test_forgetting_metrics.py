"""retention, source_nll, cka, weight_drift."""

import itertools
import warnings

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from tlplug import NotMeasured, WeightChange, compare_paired
from tlplug.evaluation.compute_metrics import measure
from tlplug.interfaces.registry import Registry
from tlplug_plugins.metrics.cka import hsic, linear_cka
from tlplug_plugins.metrics.retention import backward_transfer, forward_transfer, probe_accuracy
from tlplug_plugins.metrics.source_nll import source_nll
from tlplug_plugins.metrics.statistics.singular_values import intruder_dimensions
from tlplug_plugins.metrics.weight_drift import weight_drift

Retention, SourceNLL, CKA, WeightDrift = (
    Registry().find("metric", name).load() for name in ("retention", "source_nll", "cka", "weight_drift")
)
states = st.integers(0, 10**6)


def drawn(state, *shape):
    return np.random.default_rng(state).normal(size=shape)


# retention


R = [[0.9, 0.3, 0.2], [0.7, 0.8, 0.4], [0.5, 0.6, 0.9]]


def test_transfer_over_three_tasks_by_hand():
    # Backward: (0.5 - 0.9) and (0.6 - 0.8). Forward: (0.3 - 0.2) and (0.4 - 0.1).
    assert backward_transfer(R) == pytest.approx(-0.3, rel=1e-12)
    assert forward_transfer(R, [0.1, 0.2, 0.1]) == pytest.approx(0.2, rel=1e-12)


@settings(max_examples=25)
@given(st.integers(2, 6), states)
def test_transfer_is_the_paper_s_sum(tasks, state):
    scores, baseline = drawn(state, tasks, tasks), drawn(state + 1, tasks)
    backward = sum(scores[tasks - 1, i] - scores[i, i] for i in range(tasks - 1)) / (tasks - 1)
    forward = sum(scores[i - 1, i] - baseline[i] for i in range(1, tasks)) / (tasks - 1)
    assert backward_transfer(scores) == pytest.approx(backward, rel=1e-9, abs=1e-12)
    assert forward_transfer(scores, baseline) == pytest.approx(forward, rel=1e-9, abs=1e-12)


@pytest.mark.parametrize("scores", [[[1.0]], [1.0, 2.0], [[1.0, 2.0]], [[float("nan"), 0], [1, 1]]])
def test_other_matrices_are_refused(scores):
    with pytest.raises(ValueError, match="scores"):
        backward_transfer(scores)


def test_a_baseline_is_a_score_for_each_task():
    with pytest.raises(ValueError, match="each of 3 tasks"):
        forward_transfer(R, [0.1, 0.2])


def probed(separation, rows=40, layers=2, width=6):
    classes = np.arange(rows) % 2
    features = drawn(0, layers, rows, width).astype(np.float32)
    features[-1, :, 0] += separation * classes
    return features, classes


def test_a_probe_finds_what_is_there_and_sees_that_it_went():
    before, classes = probed(20.0)
    after, _ = probed(0.0)
    given = {"features/before/source": before, "features/after/source": after, "classes/source": classes}
    found = Retention().measure(given)
    assert found["probe/before"] == 1.0 and 0.2 < found["probe/after"] < 0.8
    assert found["probe/change"] == pytest.approx(found["probe/after"] - 1.0)
    assert isinstance(found["source_score/change"], NotMeasured)


def test_the_probe_is_a_logistic_regression_fold_by_fold():
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import StratifiedKFold

    features, classes = probed(1.0)
    rows, accuracies = features[-1].astype(np.float64), []
    for train, test in StratifiedKFold(5, shuffle=True, random_state=3).split(rows, classes):
        mean, spread = rows[train].mean(0), rows[train].std(0)
        model = LogisticRegression(max_iter=1000).fit((rows[train] - mean) / spread, classes[train])
        accuracies.append(np.mean(model.predict((rows[test] - mean) / spread) == classes[test]))
    assert 0.5 < np.mean(accuracies) < 1.0
    assert probe_accuracy(features[-1], classes, seed=3) == pytest.approx(np.mean(accuracies), rel=1e-12)


def test_rare_classes_stay_out_of_the_probe():
    features, classes = probed(20.0)
    rare = classes.copy()
    rare[:3] = 7
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert probe_accuracy(features[-1], rare) == probe_accuracy(features[-1, 3:], classes[3:])
        assert probe_accuracy(np.ones((10, 3)), [0, 1] * 5) == 0.5  # Constant features tell nothing.
    for few in (np.zeros(40, int), np.arange(40)):
        with pytest.raises(ValueError, match="two classes of 5 rows"):
            probe_accuracy(features[-1], few)


def test_source_scores_before_and_after():
    scores = {"scores/before/source": {"accuracy": 0.9, "f1": 0.1}, "scores/after/source": {"accuracy": 0.6}}
    found = Retention().measure({**scores, "primary_score": "accuracy"})
    assert found["source_score/before"] == 0.9 and found["source_score/after"] == 0.6
    assert found["source_score/change"] == pytest.approx(-0.3)
    assert isinstance(found["probe/change"], NotMeasured)
    with pytest.raises(NotMeasured, match="primary score .f1"):
        Retention().measure({**scores, "primary_score": "f1"})


def test_retention_without_a_source_says_why():
    with pytest.raises(NotMeasured, match="no evidence of features/before/source"):
        Retention().measure({})
    names = ("scores/before/source", "features/before/source")
    with pytest.raises(NotMeasured) as found:
        Retention().measure({"reasons": dict.fromkeys(names, "the source has no labels")})
    assert str(found.value) == "the source has no labels"


# source_nll


def test_likelihood_is_weighted_by_tokens():
    found = source_nll([[10.0, 5], [30.0, 5]], [[11.0, 5], [33.0, 5]])
    assert found["before"] == 4.0 and found["after"] == pytest.approx(4.4)
    assert found["change"] == pytest.approx(0.4)
    assert found["perplexity_ratio"] == pytest.approx(1.4918246976412703, rel=1e-12)
    assert found["change/low"] == pytest.approx(0.2) and found["change/high"] == pytest.approx(0.6)
    unequal = source_nll([[1.0, 1], [9.0, 9]], [[11.0, 1], [9.0, 9]])
    assert unequal["change"] == pytest.approx(1.0)  # A mean of the texts' means would say 5.


@settings(max_examples=10)
@given(st.integers(2, 30), states)
def test_texts_of_one_length_are_the_paired_bootstrap_of_their_means(texts, state):
    before = np.column_stack([np.sort(drawn(state, texts)), np.full(texts, 8)])
    after = before * [3.0, 1.0]
    found = source_nll(before, after, resamples=1000, seed=5)
    # Their differences ascend, as those from which compare_paired draws do.
    stock = compare_paired(after[:, 0] / 8, before[:, 0] / 8, resamples=1000, seed=5)
    assert (found["change"], found["change/low"], found["change/high"]) == pytest.approx(
        (stock.difference, stock.low, stock.high), rel=1e-9, abs=1e-12
    )


def test_the_interval_is_scipy_s_bootstrap_of_a_ratio():
    draw = np.random.default_rng(1)
    tokens = draw.integers(5, 200, 80).astype(float)
    lost = tokens * (0.3 + 0.2 * draw.normal(size=80))
    found = source_nll(
        np.column_stack([2 * tokens, tokens]), np.column_stack([2 * tokens + lost, tokens]), resamples=20_000
    )
    stock = stats.bootstrap(
        (lost, tokens),
        lambda a, b, axis: a.sum(axis) / b.sum(axis),
        paired=True,
        method="percentile",
        n_resamples=20_000,
        rng=np.random.default_rng(0),
    ).confidence_interval
    width = stock.high - stock.low
    assert found["change/low"] == pytest.approx(stock.low, abs=0.03 * width)
    assert found["change/high"] == pytest.approx(stock.high, abs=0.03 * width)


def test_a_text_without_tokens_counts_for_nothing():
    one = source_nll([[4.0, 2]], [[6.0, 2]])
    assert source_nll([[4.0, 2], [0.0, 0]], [[6.0, 2], [0.0, 0]]) == one
    assert one["change"] == one["change/low"] == one["change/high"] == 1.0


@pytest.mark.parametrize(
    ("before", "after", "why"),
    [
        ([[1.0, 2]], [[1.0, 3]], "same number of tokens"),
        ([[1.0, 0]], [[1.0, 0]], "no token"),
        ([[1.0, 2]], [[1.0, 2], [1.0, 2]], "of the same texts"),
        ([[1.0, 2]], [[float("inf"), 2]], "not finite"),
    ],
)
def test_other_likelihoods_are_refused(before, after, why):
    with pytest.raises(ValueError, match=why):
        source_nll(before, after)


def test_source_nll_from_evidence():
    given = {
        "nll/before/source": np.array([[4.0, 2.0]] * 3),
        "nll/after/source": np.array([[5.0, 2.0]] * 3),
    }
    assert SourceNLL().measure(given)["change"] == 0.5
    told = measure({"source_nll": SourceNLL()}, {"reasons": {"nll/before/source": "an encoder has none"}})
    assert told == {"source_nll": {"not_measured": "an encoder has none"}}


# cka


def hsic_over_quadruples(x, y):
    """The definition as a U-statistic: the mean over all ordered 4-tuples of distinct rows (Song et al. 2012)."""
    k, m = x @ x.T, y @ y.T
    found = [
        k[t, u] * (m[t, u] + m[v, w] - 2 * m[t, v]) for t, u, v, w in itertools.permutations(range(len(x)), 4)
    ]
    return np.mean(found)


@settings(max_examples=15)
@given(st.integers(4, 7), st.integers(1, 9), st.integers(1, 9), states)
def test_hsic_is_its_u_statistic_in_feature_and_in_gram_space(rows, width, other, state):
    x, y = drawn(state, rows, width) + 3.0, drawn(state + 1, rows, other)
    y[:, 0] += x[:, 0]
    assert hsic(x, y) == pytest.approx(hsic_over_quadruples(x, y), rel=1e-8, abs=1e-11)


def test_hsic_of_wide_and_of_narrow_features_by_the_matrix_formula():
    for rows, width in ((12, 200), (60, 5)):
        x, y = drawn(1, rows, width), drawn(2, rows, width)
        k, m, one = x @ x.T, y @ y.T, np.ones(rows)
        np.fill_diagonal(k, 0)
        np.fill_diagonal(m, 0)
        totals = (one @ k @ one) * (one @ m @ one) / ((rows - 1) * (rows - 2))
        expected = np.trace(k @ m) + totals - 2 / (rows - 2) * (one @ k @ m @ one)
        assert hsic(x, y) == pytest.approx(expected / (rows * (rows - 3)), rel=1e-9)


@settings(max_examples=20)
@given(st.integers(5, 20), st.integers(2, 12), states)
def test_cka_sees_no_rotation_scale_shift_or_order(rows, width, state):
    x, y = drawn(state, rows, width), drawn(state + 1, rows, 3)
    y[:, 0] += 2 * x[:, 0]
    found = linear_cka(x, y)
    rotation, _ = np.linalg.qr(drawn(state + 2, width, width))
    order = np.random.default_rng(state).permutation(rows)
    assert abs(found) <= 1 + 1e-12
    assert linear_cka(y, x) == pytest.approx(found, abs=1e-9)
    assert linear_cka(1e-3 * x @ rotation + 1e3, -50 * y) == pytest.approx(found, abs=1e-6)
    assert linear_cka(x[order], y[order]) == pytest.approx(found, abs=1e-9)
    assert linear_cka(x, 7 * x @ rotation) == pytest.approx(1.0, rel=1e-9)


def test_unrelated_wide_features_are_near_0_where_the_biased_form_is_near_1():
    x, y = drawn(0, 60, 3000), drawn(1, 60, 3000)
    assert abs(linear_cka(x, y)) < 0.05
    x, y = x - x.mean(0), y - y.mean(0)
    cross, own, other = (np.square(a.T @ b).sum() for a, b in ((x, y), (x, x), (y, y)))
    assert cross / np.sqrt(own * other) > 0.9


def test_minibatches_average_hsic_and_not_cka():
    x = drawn(0, 22, 4)
    y = x + drawn(1, 22, 4)
    assert linear_cka(x, y, batch=22) == linear_cka(x, y, batch=1000) == linear_cka(x, y)
    # Two batches of ten; the two rows that are left make no batch.
    parts = [slice(0, 10), slice(10, 20)]
    both, own, other = (
        np.mean([hsic_over_quadruples(a[part], b[part]) for part in parts])
        for a, b in ((x, y), (x, x), (y, y))
    )
    assert linear_cka(x, y, batch=10) == pytest.approx(both / np.sqrt(own * other), rel=1e-9)
    rest = linear_cka(x, y, batch=9)  # The four rows that are left do.
    assert rest != pytest.approx(linear_cka(x[:18], y[:18], batch=9), rel=1e-3)


@pytest.mark.parametrize(
    ("x", "batch", "why"),
    [
        (np.ones((3, 2)), None, "needs 4 rows, got 3"),
        (drawn(0, 9, 2), 3, "needs 4 rows, got 3"),
        (np.full((8, 3), 0.1), None, "constant"),
        (np.zeros((8, 3)), None, "constant"),
        (np.eye(8), None, "all rows have the same distance"),
        (np.full((8, 3), np.nan), None, "finite"),
        (np.ones(8), None, "must be"),
    ],
)
def test_features_without_structure_have_no_cka(x, batch, why):
    with pytest.raises(ValueError, match=why):
        linear_cka(x, drawn(1, len(x), 2), batch)


def test_cka_by_layer_and_their_mean():
    before = drawn(0, 3, 30, 5).astype(np.float32)
    after = before.copy()
    after[1] = drawn(1, 30, 5)
    after[2] = 1.0
    found = CKA().measure({"features/before": before, "features/after": after})
    assert found["layer/0"] == pytest.approx(1.0) and abs(found["layer/1"]) < 0.3
    assert "constant" in str(found["layer/2"])
    assert found["mean"] == pytest.approx((found["layer/0"] + found["layer/1"]) / 2)
    with pytest.raises(NotMeasured, match="4 rows"):
        CKA().measure({"features/before": before[:, :3], "features/after": after[:, :3]})
    with pytest.raises(NotMeasured, match="different shapes"):
        CKA().measure({"features/before": before, "features/after": after[:2]})


# weight_drift


def orthogonal(state, size):
    return np.linalg.qr(drawn(state, size, size))[0]


def test_a_change_with_known_singular_values():
    left, right = orthogonal(0, 6), orthogonal(1, 9)
    before = left @ np.diag([10.0, 8, 6, 4, 2, 1]) @ right[:6]
    change = left @ np.diag([2.0, 1, 1, 0, 0, 0]) @ right[:6]
    found = weight_drift(before, before + change)
    assert found["relative_change"] == pytest.approx(np.sqrt(6 / 221), rel=1e-9)
    assert found["stable_rank"] == pytest.approx(6 / 4, rel=1e-9)
    # Shares 1/2, 1/4, 1/4: an entropy of 3/2 log 2.
    assert found["effective_rank"] == pytest.approx(2**1.5, rel=1e-9)
    assert found["intruder_dimensions"] == 0


@settings(max_examples=20)
@given(st.integers(2, 14), st.integers(2, 14), st.integers(1, 4), states)
def test_factors_give_what_the_product_gives(rows, columns, rank, state):
    before, left, right = (
        drawn(state, rows, columns),
        drawn(state + 1, rows, rank),
        drawn(state + 2, rank, columns),
    )
    found = weight_drift(before, before + left @ right, factors=(left, right))
    values = np.linalg.svd(left @ right, compute_uv=False)
    shares = values[values > 1e-9] / values.sum()
    assert found["relative_change"] == pytest.approx(
        np.linalg.norm(left @ right) / np.linalg.norm(before), rel=1e-9
    )
    assert found["effective_rank"] == pytest.approx(np.exp(stats.entropy(shares)), rel=1e-7)
    assert found["stable_rank"] == pytest.approx(np.square(values).sum() / values[0] ** 2, rel=1e-9)
    assert 1 - 1e-9 <= found["stable_rank"] <= rank + 1e-6
    turned = weight_drift(3 * before.T, 3 * (before + left @ right).T)
    for name in ("relative_change", "effective_rank", "stable_rank"):
        assert turned[name] == pytest.approx(found[name], rel=1e-6)


def intruders_by_svd(before, after, k, epsilon):
    """By torch and in full, with the top k's cosines with every vector of before."""
    old = torch.linalg.svd(torch.from_numpy(before), full_matrices=False).U
    new = torch.linalg.svd(torch.from_numpy(after), full_matrices=False).U
    return int(((old.T @ new)[:, :k].abs().amax(0) < epsilon).sum())


@settings(max_examples=20)
@given(st.sampled_from([(20, 30), (30, 20), (25, 25)]), states, st.floats(0, 40), st.integers(1, 12))
def test_intruders_are_those_of_the_full_decomposition(shape, state, strength, k):
    before = drawn(state, *shape)
    change = strength * np.outer(drawn(state + 1, shape[0]), drawn(state + 2, shape[1])) / 30
    after = before + change
    for epsilon in (0.5, 0.8):
        assert intruder_dimensions(before, after, k, epsilon) == intruders_by_svd(before, after, k, epsilon)


def test_a_strong_new_direction_is_an_intruder_and_a_stronger_old_one_is_not():
    left, right = orthogonal(0, 64), orthogonal(1, 64)
    before = left @ np.diag(np.linspace(10, 1, 64)) @ right
    new = drawn(2, 64)
    new /= np.linalg.norm(new)
    assert intruder_dimensions(before, before + 40 * np.outer(new, right[3])) == 1
    assert intruder_dimensions(before, before + 40 * np.outer(left[:, 50], right[50])) == 0
    assert intruder_dimensions(before, before) == 0
    # Against a matrix of rank 1 any other direction is new; against nothing all are.
    flat = np.outer(left[:, 0], right[0])
    assert intruder_dimensions(flat, 3 * np.outer(left[:, 1], right[1]) + flat) == 1
    assert intruder_dimensions(np.zeros((4, 4)), np.diag([2.0, 1, 0, 0])) == 2


def test_an_unchanged_matrix_has_no_rank():
    found = weight_drift(np.eye(3), np.eye(3))
    assert found["relative_change"] == 0.0 and found["intruder_dimensions"] == 0
    assert "did not change" in str(found["effective_rank"]) and "did not change" in str(found["stable_rank"])
    assert "all 0" in str(weight_drift(np.zeros((2, 2)), np.eye(2))["relative_change"])
    with pytest.raises(ValueError, match="must be"):
        weight_drift(np.eye(2), np.eye(3))
    with pytest.raises(ValueError, match="factors"):
        weight_drift(np.eye(2), np.eye(2), factors=(np.ones((2, 1)), np.ones((1, 3))))


def matrix(name, layer, shape, scale=0.1, factors=False, state=0):
    before = drawn(state, *shape).astype(np.float32)
    left, right = drawn(state + 1, shape[0], 2), scale * drawn(state + 2, 2, shape[1])
    pair = (left, right) if factors else None
    return WeightChange(name, layer, before, (before + left @ right).astype(np.float32), pair)


def recorded(metric, *changes):
    found = {change.name: {"layer": change.layer, **metric.weight_change(change)} for change in changes}
    return {"weights/weight_drift": found}


def test_matrices_together_are_shares_of_sums_and_means_of_ranks():
    changes = [
        matrix("a", 1, (6, 8)),
        matrix("b", 1, (9, 5), factors=True, state=5),
        matrix("c", 2, (4, 4), state=9),
    ]
    found = WeightDrift().measure(recorded(WeightDrift(), *changes))
    each = [weight_drift(one.before, one.after, one.factors) for one in changes]
    stacked = [
        np.concatenate([getattr(one, name).ravel() for one in changes]) for name in ("before", "after")
    ]
    whole = np.linalg.norm((stacked[1] - stacked[0]).astype(float)) / np.linalg.norm(stacked[0].astype(float))
    assert found["relative_change"] == pytest.approx(whole, rel=1e-6)
    for name in ("effective_rank", "stable_rank", "intruder_dimensions"):
        assert found[name] == pytest.approx(np.mean([one[name] for one in each]))
        assert found[f"layer/1/{name}"] == pytest.approx((each[0][name] + each[1][name]) / 2)
    assert found["layer/2/relative_change"] == pytest.approx(each[2]["relative_change"])
    assert not any(isinstance(value, NotMeasured) for value in found.values())


def test_embeddings_and_large_matrices_have_the_change_alone():
    metric = WeightDrift(WeightDrift.Config(max_matrix_size=4))
    changes = [
        matrix("embeddings", 0, (6, 3)),
        matrix("long", 1, (17, 3), state=3),
        matrix("long factors", 1, (17, 3), factors=True, state=3),
        matrix("middling", 2, (5, 16), factors=True, state=4),
        matrix("middling and dense", 2, (5, 16), state=4),
        matrix("small", None, (4, 16), state=5),
    ]
    kept = recorded(metric, *changes)["weights/weight_drift"]
    for name in ("embeddings", "long", "long factors", "middling and dense"):
        assert set(kept[name]) == {"layer", "squared_change", "squared_norm"}
    assert kept["long"]["squared_change"] == pytest.approx(kept["long factors"]["squared_change"], rel=1e-5)
    assert "effective_rank" in kept["middling"] and "intruder_dimensions" not in kept["middling"]
    found = metric.measure({"weights/weight_drift": kept})
    assert found["intruder_dimensions"] == kept["small"]["intruder_dimensions"]
    for name in (
        "layer/0/effective_rank",
        "layer/1/stable_rank",
        "layer/1/intruder_dimensions",
        "layer/2/intruder_dimensions",
    ):
        assert isinstance(found[name], NotMeasured)
    assert found["layer/0/relative_change"] > 0 and "layer/None/relative_change" not in found


def test_drift_where_no_matrix_moved():
    with pytest.raises(NotMeasured, match="no matrix"):
        WeightDrift().measure({"weights/weight_drift": {}})
