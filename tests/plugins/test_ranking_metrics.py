"""Numbers of the metrics that rank base models: by hand, by other formulas and libraries, and what must not change them."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.linalg import subspace_angles
from scipy.stats import entropy, multivariate_normal, ortho_group
from sklearn.cross_decomposition import CCA
from sklearn.linear_model import BayesianRidge
from sklearn.metrics import mutual_info_score
from sklearn.model_selection import LeaveOneOut, cross_val_score
from sklearn.neighbors import KNeighborsClassifier

from tlplug import NotMeasured
from tlplug.interfaces.registry import Registry
from tlplug_plugins.metrics.h_score import h_score
from tlplug_plugins.metrics.knn import knn
from tlplug_plugins.metrics.leep import leep
from tlplug_plugins.metrics.logme import logme
from tlplug_plugins.metrics.nce import nce
from tlplug_plugins.metrics.transrate import transrate

FORMULAS = {
    "h_score": h_score,
    "h_score_shrunk": lambda features, labels: h_score(features, labels, shrinkage=True),
    "logme": logme,
    "knn": lambda features, labels: knn(features, labels, 3),
    "transrate": transrate,
}
SHIFT_MATTERS = {"logme"}
each_formula = pytest.mark.parametrize("formula", FORMULAS.values(), ids=FORMULAS)


def made_up(seed, rows=40, width=6, classes=3):
    """Features with class means apart, and at least one row of each class."""
    draw = np.random.default_rng(seed)
    labels = draw.permutation(np.arange(rows) % classes)
    means = draw.standard_normal((classes, width))
    mixed = draw.standard_normal((rows, width)) @ draw.standard_normal((width, width))
    return 1.0 + mixed + means[labels], labels


def metric(name, **fields):
    kind = Registry().find("metric", name).load()
    return kind(kind.Config(**fields))


# What all have in common


@each_formula
@settings(max_examples=8)
@given(seed=st.integers(0, 999), wide=st.booleans(), scale=st.floats(1e-3, 1e3))
def test_rotation_scale_order_and_names_of_classes_change_nothing(formula, seed, wide, scale):
    features, labels = made_up(seed, rows=20 if wide else 40, width=30 if wide else 6)
    draw = np.random.default_rng(seed)
    turned = scale * features @ ortho_group.rvs(features.shape[1], random_state=seed)
    order = draw.permutation(len(labels))
    names = np.array(["c", "a", "b"])[labels]
    assert formula(turned[order], names[order]) == pytest.approx(formula(features, labels), rel=1e-6)


@pytest.mark.parametrize("name", sorted(set(FORMULAS) - SHIFT_MATTERS))
@settings(max_examples=5)
@given(seed=st.integers(0, 999))
def test_a_shift_changes_nothing(name, seed):
    features, labels = made_up(seed)
    shift = 100.0 * np.random.default_rng(seed).standard_normal(features.shape[1])
    assert FORMULAS[name](features + shift, labels) == pytest.approx(
        FORMULAS[name](features, labels), rel=1e-6
    )


@each_formula
def test_a_class_without_rows_takes_no_part(formula):
    features, labels = made_up(1)
    assert formula(features, np.array([0, 4, 9])[labels]) == formula(features, labels)


@each_formula
def test_every_row_twice_is_defined(formula):
    features, labels = made_up(2)
    assert math.isfinite(formula(np.repeat(features, 2, axis=0), np.repeat(labels, 2)))


@pytest.mark.parametrize("name", ["h_score", "transrate"])
def test_every_row_twice_is_the_same_distribution(name):
    features, labels = made_up(2)
    twice = FORMULAS[name](np.repeat(features, 2, axis=0), np.repeat(labels, 2))
    assert twice == pytest.approx(FORMULAS[name](features, labels), rel=1e-9)


@each_formula
def test_two_classes_and_one_example_in_a_class(formula):
    features, _ = made_up(3, rows=12)
    assert math.isfinite(formula(features, [0] * 11 + [1]))


@each_formula
def test_classes_apart_score_higher_than_the_same_labels_drawn(formula):
    features, labels = made_up(4, rows=60)
    features = features + 20.0 * np.eye(6)[labels]
    assert formula(features, labels) > formula(features, np.random.default_rng(0).permutation(labels))


@each_formula
def test_one_class_is_not_measured(formula):
    with pytest.raises(NotMeasured, match="one class"):
        formula(made_up(0)[0], np.ones(40, int))


@each_formula
@pytest.mark.parametrize(
    "features, labels, says",
    [
        (np.ones(4), [0, 1, 0, 1], "must be \\[rows, dimensions\\]"),
        (np.ones((4, 0)), [0, 1, 0, 1], "must be \\[rows, dimensions\\]"),
        (np.ones((4, 2)), [0, 1, 0], "one for each of 4 rows"),
        (np.ones((4, 2)), np.eye(4), "one for each of 4 rows"),
        (np.array([[1.0], [np.nan], [0.0], [2.0]]), [0, 1, 0, 1], "not finite"),
        (np.array([[1.0], [np.inf], [0.0], [2.0]]), [0, 1, 0, 1], "not finite"),
        (np.ones((4, 2)), [0.0, 1.0, np.nan, 1.0], "not fractions or infinite values"),
        (np.ones((4, 2)), [0.1, 1.0, 0.0, 1.0], "not fractions or infinite values"),
    ],
)
def test_wrong_arrays_are_errors(formula, features, labels, says):
    with pytest.raises(ValueError, match=says):
        formula(features, labels)


# H-score


def test_h_score_by_hand():
    # Means -1 and 1 around 0: between 1; squares 4, 0, 0, 4: variance 2.
    assert h_score([[-2.0], [0.0], [0.0], [2.0]], [0, 0, 1, 1]) == pytest.approx(0.5, rel=1e-12)


def test_h_score_is_its_definition():
    features, labels = made_up(5)
    means = np.stack([features[labels == label].mean(axis=0) for label in labels])
    inverse = np.linalg.pinv(np.cov(features, rowvar=False))
    assert h_score(features, labels) == pytest.approx(
        np.trace(inverse @ np.cov(means, rowvar=False)), rel=1e-9
    )


def test_h_score_is_the_sum_of_squared_canonical_correlations():
    features, labels = made_up(6, rows=80, classes=4)
    one_hot = np.eye(4)[labels][:, :3]
    x, y = CCA(3, tol=1e-14, max_iter=100_000).fit_transform(features, one_hot)
    correlations = [np.corrcoef(x[:, each], y[:, each])[0, 1] for each in range(3)]
    assert h_score(features, labels) == pytest.approx(np.sum(np.square(correlations)), rel=1e-6)
    angles = subspace_angles(features - features.mean(axis=0), one_hot - one_hot.mean(axis=0))
    assert h_score(features, labels) == pytest.approx(np.sum(np.cos(angles) ** 2), rel=1e-9)


def two_gaussians(width=4):
    """Rows whose two classes have exactly the means -m and m and the covariance C, and m^T C^-1 m."""
    draw = np.random.default_rng(7)
    spread, mean = draw.standard_normal((width, width)), draw.standard_normal(width)
    points = np.sqrt(width) * np.concatenate([np.eye(width), -np.eye(width)]) @ spread.T
    features = np.concatenate([points - mean, points + mean])
    return features, np.repeat([0, 1], 2 * width), mean @ np.linalg.solve(spread @ spread.T, mean)


def test_h_score_of_two_gaussians():
    features, labels, apart = two_gaussians()
    assert h_score(features, labels) == pytest.approx(apart / (1.0 + apart), rel=1e-9)


def test_shrunk_h_score_is_its_definition():
    from sklearn.covariance import LedoitWolf

    features, labels = made_up(8, rows=30, width=50)
    fitted = LedoitWolf().fit(features)
    means = np.stack([features[labels == label].mean(axis=0) for label in labels])
    between = (1.0 - fitted.shrinkage_) * np.cov(means, rowvar=False, bias=True)
    expected = np.trace(np.linalg.inv(fitted.covariance_) @ between)
    assert 0.0 < fitted.shrinkage_ < 1.0
    assert h_score(features, labels, shrinkage=True) == pytest.approx(expected, rel=1e-9)


def test_where_features_outnumber_rows_only_the_shrunk_h_score_tells_anything():
    features, labels = made_up(9, rows=20, width=60)
    drawn = np.random.default_rng(0).permutation(labels)
    assert h_score(features, labels) == pytest.approx(2.0) == h_score(features, drawn)
    shrunk = h_score(features, labels, shrinkage=True)
    assert shrunk != pytest.approx(h_score(features, drawn, shrinkage=True), rel=1e-3)
    assert 0.0 < shrunk < 2.0


@pytest.mark.parametrize("shrinkage", [False, True])
def test_h_score_of_constant_and_of_repeated_columns(shrinkage):
    features, labels = made_up(10)
    # 0.1 has no exact mean: what rounding leaves must not count as variance.
    assert h_score(np.full((40, 5), 0.1), labels, shrinkage) == 0.0
    assert h_score(np.full((40, 1), 0.1), labels, shrinkage) == 0.0
    if not shrinkage:
        wider = np.hstack([features, features, np.full((40, 1), 0.1)])
        assert h_score(wider, labels) == pytest.approx(h_score(features, labels), rel=1e-9)


def test_h_score_of_repeated_columns_far_from_0_counts_no_rounding():
    features, labels = made_up(10)
    assert h_score(np.hstack([features + 1e6, features]), labels) == pytest.approx(
        h_score(features, labels), rel=1e-6
    )


# LogME


def log_evidence(features, target, alpha, beta):
    """log p(y | f, alpha, beta) / rows, from the density of a normal distribution."""
    covariance = np.eye(len(target)) / beta + features @ features.T / alpha
    return multivariate_normal(np.zeros(len(target)), covariance).logpdf(target) / len(target)


def highest_on_a_grid(features, target):
    """Over alpha and beta, the second grid around the best point of the first."""
    center, reach = np.zeros(2), 6.0
    for _ in range(2):
        grid = center[:, None] + np.linspace(-reach, reach, 25)
        found = np.array(
            [[log_evidence(features, target, *np.exp([a, b])) for b in grid[1]] for a in grid[0]]
        )
        first, second = np.unravel_index(found.argmax(), found.shape)
        center, reach = np.array([grid[0][first], grid[1][second]]), reach / 8.0
    return found.max()


@pytest.mark.parametrize("rows, width", [(30, 4), (12, 12), (12, 25)])
def test_logme_against_all_alpha_and_beta_of_a_grid(rows, width):
    features, labels = made_up(11, rows=rows, width=width)
    features = features / np.linalg.norm(features, 2)
    expected = np.mean([highest_on_a_grid(features, labels == label) for label in range(3)])
    assert logme(features, labels) == pytest.approx(expected, abs=1e-3)
    assert logme(features, labels) >= expected - 1e-9


def test_logme_of_repeated_columns_is_of_a_lower_rank():
    features, labels = made_up(12, rows=30, width=4)
    features = features / np.linalg.norm(features, 2)
    twice = np.hstack([features, features])
    expected = np.mean([highest_on_a_grid(twice, labels == label) for label in range(3)])
    assert logme(twice, labels) == pytest.approx(expected, abs=1e-3)
    # [f f] w is f (w1 + w2): the same model with half of alpha.
    assert logme(twice, labels) == pytest.approx(logme(features, labels), rel=1e-9)


@pytest.mark.parametrize("rows, width", [(60, 5), (40, 70)])
def test_logme_against_scikit_learn(rows, width):
    features, labels = made_up(13, rows=rows, width=width)
    none = {"alpha_1": 0.0, "alpha_2": 0.0, "lambda_1": 0.0, "lambda_2": 0.0}
    settled = {"fit_intercept": False, "compute_score": True, "tol": 1e-13, "max_iter": 100_000}
    fitted = [BayesianRidge(**none, **settled).fit(features, labels == label) for label in range(3)]
    expected = np.mean([each.scores_[-1] / rows for each in fitted])
    assert logme(features, labels) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("scale", [1e-20, 1e-10, 1e10, 1e20])
def test_alpha_takes_any_scale_out_of_logme(scale):
    features, labels = made_up(13)
    assert logme(scale * features, labels) == pytest.approx(logme(features, labels), rel=1e-9)


def test_logme_of_features_that_are_0_is_that_of_noise():
    # Half of the rows are 1: beta = 2, and -(log(2 pi / 2) + 1) / 2 of either class.
    assert logme(np.zeros((8, 3)), [0, 1] * 4) == pytest.approx(-0.5 * (math.log(math.pi) + 1.0), rel=1e-12)


def test_logme_of_constant_features_is_that_of_one_column():
    labels = [0, 0, 0, 1, 1, 1, 1, 1]
    assert logme(np.full((8, 3), 0.1), labels) == pytest.approx(logme(np.ones((8, 1)), labels), rel=1e-9)
    assert logme(np.ones((8, 1)), labels) > logme(np.zeros((8, 1)), labels)


def test_logme_where_the_features_fit_exactly_is_not_measured():
    labels = np.arange(12) % 3
    with pytest.raises(NotMeasured, match="no maximum"):
        logme(np.eye(3)[labels], labels)


def test_logme_of_as_many_directions_as_rows_has_a_limit_without_noise():
    # f f^T = I: the covariance is (1/alpha + 1/beta) I, and no division into the two is better.
    assert logme(np.eye(8), [0, 1] * 4) == pytest.approx(-0.5 * (math.log(math.pi) + 1.0), rel=1e-9)


def test_logme_with_an_equal_row_of_wide_features_takes_the_maximum_with_noise():
    features, _ = made_up(14, rows=60, width=100)
    features, labels = features / 10.0, np.random.default_rng(1).integers(0, 2, 60)
    features[1], labels[1] = features[0], labels[0]
    near = features.copy()
    near[1] += 1e-9
    assert logme(features, labels) == pytest.approx(logme(near, labels), rel=1e-6)


# LEEP and NCE


def test_leep_by_hand():
    # P(y, z) = [[.375, .125], [.125, .375]]: P(y | z) = .75 on the diagonal, and .75^2 + .25^2 of every row.
    probabilities = [[0.75, 0.25], [0.75, 0.25], [0.25, 0.75], [0.25, 0.75]]
    assert leep(probabilities, [0, 0, 1, 1]) == pytest.approx(math.log(0.625), rel=1e-12)


def made_up_probabilities(seed, rows=30, classes=3, width=5):
    draw = np.random.default_rng(seed)
    labels = draw.permutation(np.arange(rows) % classes)
    return draw.dirichlet(np.full(width, 0.3), rows), labels


def test_leep_is_its_definition():
    probabilities, labels = made_up_probabilities(0)
    total = 0.0
    for row, label in zip(probabilities, labels, strict=True):
        inside = 0.0
        for z in range(5):
            inside += row[z] * probabilities[labels == label, z].sum() / probabilities[:, z].sum()
        total += math.log(inside)
    assert leep(probabilities, labels) == pytest.approx(total / 30, rel=1e-12)


@settings(max_examples=10)
@given(seed=st.integers(0, 999))
def test_leep_between_its_bounds_whatever_the_order(seed):
    probabilities, labels = made_up_probabilities(seed)
    found = leep(probabilities, labels)
    # Theorem 1 of Nguyen et al. 2020.
    hard = probabilities.argmax(axis=1)
    assert nce(hard, labels) + np.log(probabilities.max(axis=1)).mean() <= found <= 1e-12
    draw = np.random.default_rng(seed)
    order, columns = draw.permutation(30), draw.permutation(5)
    names = np.array(["b", "c", "a"])[labels]
    assert leep(probabilities[order][:, columns], names[order]) == pytest.approx(found, rel=1e-9)


def test_leep_of_certain_source_classes_is_nce():
    draw = np.random.default_rng(1)
    given_labels, labels = draw.integers(0, 4, 50), draw.integers(0, 3, 50)
    assert leep(np.eye(4)[given_labels], labels) == pytest.approx(nce(given_labels, labels), rel=1e-9)


def test_leep_leaves_empty_source_classes_out():
    probabilities, labels = made_up_probabilities(2)
    wider = np.hstack([np.zeros((30, 2)), probabilities, np.zeros((30, 1))])
    assert leep(wider, labels) == pytest.approx(leep(probabilities, labels), rel=1e-12)


def test_leep_where_the_classifier_tells_nothing_is_minus_the_entropy():
    labels = [0, 0, 0, 1]
    expected = pytest.approx(-entropy([0.75, 0.25]), rel=1e-12)
    assert leep(np.full((4, 3), 1 / 3), labels) == expected == leep(np.ones((4, 1)), labels)


def test_leep_takes_rows_that_are_rounded():
    probabilities, labels = made_up_probabilities(3)
    off = np.random.default_rng(0).uniform(0.9995, 1.0005, (30, 1))
    assert leep(off * probabilities, labels) == pytest.approx(leep(probabilities, labels), rel=1e-9)
    assert leep(probabilities.astype(np.float16), labels) == pytest.approx(
        leep(probabilities, labels), rel=1e-2
    )


@pytest.mark.parametrize("row", [[0.5, 0.6], [-0.5, 1.5], [3.0, -1.0]])
def test_leep_wants_distributions(row):
    with pytest.raises(ValueError, match="sum to 1"):
        leep([row, [0.5, 0.5]], [0, 1])


def test_leep_of_wrong_arrays():
    with pytest.raises(ValueError, match="source probabilities"):
        leep([0.5, 0.5], [0, 1])
    with pytest.raises(ValueError, match="not finite"):
        leep([[np.nan, 0.5], [0.5, 0.5]], [0, 1])
    with pytest.raises(NotMeasured, match="one class"):
        leep([[0.5, 0.5], [0.5, 0.5]], [1, 1])


def test_nce_by_hand():
    # Source class 0 leaves 3 : 1 open, source class 1 nothing.
    expected = 4 / 6 * (0.75 * math.log(0.75) + 0.25 * math.log(0.25))
    assert nce([0, 0, 0, 0, 1, 1], [0, 0, 0, 1, 1, 1]) == pytest.approx(expected, rel=1e-12)
    assert nce([2, 2, 7, 7], [1, 1, 0, 0]) == 0.0


@settings(max_examples=10)
@given(seed=st.integers(0, 999))
def test_nce_is_mutual_information_less_entropy(seed):
    draw = np.random.default_rng(seed)
    given_labels, labels = draw.integers(0, 5, 40), draw.permutation(np.arange(40) % 3)
    expected = mutual_info_score(given_labels, labels) - entropy(np.bincount(labels))
    order = draw.permutation(40)
    assert nce(given_labels, labels) == pytest.approx(expected, rel=1e-9)
    renamed = (10 - 2 * given_labels)[order], np.array(["b", "c", "a"])[labels][order]
    assert nce(*renamed) == pytest.approx(expected, rel=1e-9)


def test_nce_of_wrong_arrays_and_of_one_class():
    with pytest.raises(ValueError, match="one for each of 3 rows"):
        nce([0, 1, 0], [0, 1])
    with pytest.raises(ValueError, match="source labels"):
        nce([[0, 1], [1, 0]], [0, 1, 0, 1])
    with pytest.raises(ValueError, match="fractions"):
        nce([0.5, 1.0], [0, 1])
    with pytest.raises(NotMeasured, match="one class"):
        nce([0, 1], [1, 1])


# k nearest neighbours


def test_knn_by_hand():
    # 0 and 1 are each other's nearest, 1 is that of 2.5 and 2.5 that of 10.
    assert knn([[0.0], [1.0], [2.5], [10.0]], [0, 0, 0, 1], 1) == 0.75
    assert knn([[0.0], [1.0], [2.5], [10.0]], [0, 0, 1, 1], 1) == 0.75


@pytest.mark.parametrize("k", [1, 3, 5])
def test_knn_against_scikit_learn(k):
    # An odd k and two classes: no vote is tied.
    features, labels = made_up(15, rows=60, classes=2)
    scores = cross_val_score(KNeighborsClassifier(k), features, labels, cv=LeaveOneOut())
    assert knn(features, labels, k) == pytest.approx(scores.mean(), rel=1e-12)


def test_knn_does_not_depend_on_how_rows_are_cut(monkeypatch):
    import tlplug_plugins.metrics.knn as module

    features, labels = made_up(16)
    whole = knn(features, labels, 3)
    monkeypatch.setattr(module, "BLOCK", 7)
    assert knn(features, labels, 3) == pytest.approx(whole, rel=1e-12)


def test_knn_shares_a_tied_vote():
    # The two outer rows see one neighbour of either class, the middle ones two of the other.
    assert knn([[0.0], [1.0], [2.0], [3.0]], [0, 1, 0, 1], 2) == pytest.approx((0.5 + 0.0 + 0.0 + 0.5) / 4)


def test_knn_lets_all_rows_as_near_as_the_last_vote():
    # The row at 0 has neighbours of both classes at the distance 1: half; the others have the row at 0.
    assert knn([[0.0], [1.0], [-1.0]], [0, 0, 1], 1) == pytest.approx((0.5 + 1.0 + 0.0) / 3)


def test_knn_ties_are_found_where_rounding_hides_them():
    # Every two rows are equally far apart, so that all others vote: for the class of eight.
    turned = np.eye(12) @ ortho_group.rvs(12, random_state=0)
    assert knn(turned, [0] * 8 + [1] * 4, 1) == 8 / 12 == knn(np.eye(12), [0] * 8 + [1] * 4, 1)


def test_knn_of_constant_features_is_the_vote_of_all_others():
    labels = [0] * 6 + [1] * 2
    assert knn(np.full((8, 3), 0.1), labels, 1) == 6 / 8


@settings(max_examples=10)
@given(seed=st.integers(0, 999))
def test_knn_of_equal_rows_whatever_the_order(seed):
    features, labels = made_up(17, rows=12)
    features, labels = np.repeat(features, 3, axis=0), np.random.default_rng(3).integers(0, 3, 36)
    order = np.random.default_rng(seed).permutation(36)
    assert knn(features[order], labels[order], 1) == pytest.approx(knn(features, labels, 1), rel=1e-9)


def test_knn_needs_k_others():
    features, labels = made_up(18, rows=6)
    assert math.isfinite(knn(features, labels, 5))
    with pytest.raises(NotMeasured, match="at least 7 rows, but there are 6"):
        knn(features, labels, 6)
    with pytest.raises(ValueError, match="at least 1"):
        knn(features, labels, 0)
    with pytest.raises(ValueError, match="at least 1"):
        metric("knn", k=0)


# TransRate


def test_transrate_by_hand():
    # One column of -1 and 1: all rows and those of each class have the same code.
    assert transrate([[-1.0], [1.0], [-1.0], [1.0]], [0, 0, 1, 1], 0.5) == pytest.approx(0.0, abs=1e-12)
    # (1, 0), (-1, 0), (0, 1), (0, -1): Z^T Z / n = I / 2; of a class diag(1, 0).
    features = [[1.0, 0.0], [-1.0, 0.0], [0.0, 1.0], [0.0, -1.0]]
    expected = math.log(1 + 0.5 / 0.1) - 0.5 * math.log(1 + 1 / 0.1)
    assert transrate(features, [0, 0, 1, 1], 0.1) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("rows, width", [(60, 5), (15, 40)])
def test_transrate_from_singular_values(rows, width):
    features, labels = made_up(19, rows=rows, width=width)
    features = features - features.mean(axis=0)
    features /= np.sqrt(np.mean(np.sum(features**2, axis=1)))

    def rate(part):
        return 0.5 * np.log1p(np.linalg.svd(part, compute_uv=False) ** 2 / (len(part) * 1e-4)).sum()

    # Three classes of the same size: a mean over the classes.
    expected = rate(features) - np.mean([rate(features[labels == label]) for label in range(3)])
    assert transrate(features, labels) == pytest.approx(expected, rel=1e-9)


@settings(max_examples=10)
@given(seed=st.integers(0, 999), share=st.floats(0.1, 0.9))
def test_transrate_is_never_below_0(seed, share):
    features, _ = made_up(seed)
    labels = np.arange(40) < 40 * share
    assert transrate(features, labels) >= -1e-12


def test_transrate_of_constant_features_is_0():
    assert transrate(np.full((8, 3), 0.1), [0, 1] * 4) == 0.0


@pytest.mark.parametrize("epsilon", [0.0, -1.0, math.nan])
def test_epsilon_has_to_be_above_0(epsilon):
    with pytest.raises(ValueError, match="above 0"):
        transrate(*made_up(20), epsilon)
    with pytest.raises(ValueError, match="above 0"):
        metric("transrate", epsilon=epsilon)


# The plugins


LAYERED = {
    "h_score": lambda features, labels: h_score(features, labels, shrinkage=True),
    "logme": logme,
    "knn": lambda features, labels: knn(features, labels, 5),
    "transrate": transrate,
}


def layers(seed, classes=3):
    return np.stack([made_up(seed + each, classes=classes)[0] for each in range(3)]).astype(np.float32)


@pytest.mark.parametrize("name", LAYERED)
def test_values_of_each_layer_before_and_after(name):
    _, labels = made_up(21)
    evidence = {"features/before": layers(22), "features/after": layers(30), "classes": labels}
    found = metric(name).measure(evidence)
    for when in ("before", "after"):
        expected = [LAYERED[name](features, labels) for features in evidence[f"features/{when}"]]
        assert [found.pop(f"{when}/layer/{layer}") for layer in range(3)] == expected
        assert found.pop(when) == expected[-1]
        assert found.pop(f"{when}/mean") == pytest.approx(np.mean(expected))
    assert not found


@pytest.mark.parametrize("name", LAYERED)
def test_without_features_after_there_are_no_such_values(name):
    assert metric(name).requires == {"features/before", "classes"}
    found = metric(name).measure({"features/before": layers(22), "classes": made_up(21)[1]})
    assert set(found) == {"before", "before/mean", *(f"before/layer/{layer}" for layer in range(3))}


@pytest.mark.parametrize("name", LAYERED)
def test_a_layer_without_a_value_costs_only_itself_and_the_mean(name):
    after = layers(30)
    after[1, 5, 2] = np.nan
    evidence = {"features/before": layers(22), "features/after": after, "classes": made_up(21)[1]}
    found = metric(name).measure(evidence)
    assert {key for key, value in found.items() if isinstance(value, NotMeasured)} == {
        "after/layer/1",
        "after/mean",
    }
    assert str(found["after/mean"]) == "layer 1 has no value: the features are not finite"


@pytest.mark.parametrize("name", LAYERED)
def test_one_class_in_the_evidence_is_one_reason(name):
    with pytest.raises(NotMeasured, match="one class"):
        metric(name).measure({"features/before": layers(22), "classes": np.zeros(40, int)})


def test_fields_reach_the_formulas():
    evidence = {"features/before": layers(22), "classes": made_up(21)[1]}
    last, labels = evidence["features/before"][-1], evidence["classes"]
    assert metric("h_score", shrinkage=False).measure(evidence)["before"] == h_score(last, labels)
    assert metric("knn", k=1).measure(evidence)["before"] == knn(last, labels, 1)
    assert metric("transrate", epsilon=0.1).measure(evidence)["before"] == transrate(last, labels, 0.1)


def test_leep_and_nce_of_the_evidence():
    probabilities, labels = made_up_probabilities(4)
    evidence = {"source_probabilities": probabilities, "classes": labels}
    assert metric("leep").requires == metric("nce").requires == set(evidence)
    assert metric("leep").measure(evidence) == {"before": leep(probabilities, labels)}
    assert metric("nce").measure(evidence) == {"before": nce(probabilities.argmax(axis=1), labels)}
