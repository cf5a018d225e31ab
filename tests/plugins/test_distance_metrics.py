"""Numbers of the distances between domains: by hand, by closed forms and other libraries, and what must not change them."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import cdist, pdist
from scipy.stats import ortho_group
from sklearn.metrics.pairwise import rbf_kernel

from tlplug import NotMeasured
from tlplug.interfaces.registry import Registry
from tlplug_plugins.metrics.coral_distance import coral_distance
from tlplug_plugins.metrics.mmd import mmd
from tlplug_plugins.metrics.proxy_a_distance import proxy_a_distance

FORMULAS = {"proxy_a_distance": proxy_a_distance, "mmd": mmd, "coral_distance": coral_distance}
each_formula = pytest.mark.parametrize("formula", FORMULAS.values(), ids=FORMULAS)
seeds = st.integers(0, 999)


def made_up(seed, rows=30, others=20, width=4, apart=0.5):
    draw = np.random.default_rng(seed)
    source = draw.standard_normal((rows, width)) @ draw.standard_normal((width, width))
    return source + apart, draw.standard_normal((others, width))


def metric(name, **fields):
    kind = Registry().find("metric", name).load()
    return kind(kind.Config(**fields))


# What all have in common


@each_formula
@pytest.mark.parametrize(
    "source, target, says",
    [
        (np.ones(6), np.ones((6, 1)), "source features have the shape"),
        (np.ones((6, 1)), np.ones(6), "target features have the shape"),
        (np.ones((0, 2)), np.ones((6, 2)), "source features have the shape"),
        (np.ones((6, 2)), np.ones((6, 3)), "source features have 2 dimensions and target features 3"),
        (np.full((6, 2), np.nan), np.ones((6, 2)), "source features have values that are not finite"),
        (np.ones((6, 2)), np.full((6, 2), np.inf), "target features have values that are not finite"),
    ],
)
def test_wrong_arrays_are_errors(formula, source, target, says):
    with pytest.raises(ValueError, match=says):
        formula(source, target)


@pytest.mark.parametrize("name, fewest", [("proxy_a_distance", 5), ("mmd", 2), ("coral_distance", 2)])
def test_too_few_rows_are_not_measured(name, fewest):
    source, target = made_up(0)
    assert math.isfinite(FORMULAS[name](source[:fewest], target))
    for few in [(source[: fewest - 1], target), (source, target[: fewest - 1])]:
        with pytest.raises(
            NotMeasured, match=f"each side needs at least {fewest} rows, and one has {fewest - 1}"
        ):
            FORMULAS[name](*few)


@pytest.mark.parametrize("formula", [mmd, coral_distance])
@settings(max_examples=8)
@given(seed=seeds, wide=st.booleans())
def test_rotation_shift_order_and_sides_change_nothing(formula, seed, wide):
    source, target = made_up(seed, width=60 if wide else 4)
    draw = np.random.default_rng(seed)
    turn, shift = ortho_group.rvs(source.shape[1], random_state=seed), draw.standard_normal(source.shape[1])
    moved = [draw.permutation(rows) @ turn + 10.0 * shift for rows in (target, source)]
    assert formula(*moved) == pytest.approx(formula(source, target), rel=1e-6, abs=1e-9)


@each_formula
def test_wide_features_and_equal_rows_are_defined(formula):
    source, target = made_up(1, width=80)
    assert math.isfinite(formula(source, target))
    assert math.isfinite(formula(np.repeat(source, 2, axis=0), np.repeat(target, 2, axis=0)))


# Proxy A-distance


def test_domains_that_a_line_parts_are_2_apart():
    source, target = made_up(2, apart=100.0)
    assert proxy_a_distance(source, target) == 2.0


def test_constant_features_are_not_to_be_told_apart():
    assert proxy_a_distance(np.full((30, 3), 0.1), np.full((10, 3), 0.1)) == 0.0


def test_an_error_above_one_half_is_clipped():
    # The same rows on both sides: each row's twin is learnt with the other label.
    source, _ = made_up(3, width=30)
    assert proxy_a_distance(source, source) == 0.0


def test_a_known_share_of_errors():
    # A tenth of either side lies where the other side is, at one point each: a tenth of all is wrong.
    source = np.repeat([[0.0], [1.0]], [90, 10], axis=0)
    target = np.repeat([[0.0], [1.0]], [10, 90], axis=0)
    assert proxy_a_distance(source, target) == pytest.approx(2.0 * (1.0 - 2.0 * 0.1), rel=1e-12)


def test_sets_of_unequal_size_count_the_same():
    # The same shares of errors as above, where one side has ten times the rows.
    source = np.repeat([[0.0], [1.0]], [900, 100], axis=0)
    target = np.repeat([[0.0], [1.0]], [10, 90], axis=0)
    assert proxy_a_distance(source, target) == pytest.approx(1.6, rel=1e-12)
    draw = np.random.default_rng(4)
    many, few = draw.standard_normal((500, 3)), draw.standard_normal((25, 3))
    # Always naming the larger side would be right in 95 % and 1.8 apart.
    assert proxy_a_distance(many, few) < 0.8


def test_of_two_gaussians_it_is_near_what_the_best_line_gives():
    from scipy.stats import norm

    draw = np.random.default_rng(5)
    source, target = draw.normal([-0.5, 0.0], 1.0, (2000, 2)), draw.normal([0.5, 0.0], 1.0, (2000, 2))
    # The best line goes through the middle: its error is P(N(0, 1) > 1/2). Four standard errors of 4000 rows.
    error = norm.sf(0.5)
    spread = 4.0 * 4.0 * math.sqrt(error * (1.0 - error) / 4000)
    assert proxy_a_distance(source, target) == pytest.approx(2.0 * (1.0 - 2.0 * error), abs=spread)


@settings(max_examples=4)
@given(seed=seeds, scale=st.floats(1e-3, 1e3))
def test_the_scale_of_any_feature_does_not_count(seed, scale):
    source, target = made_up(seed)
    scales = np.array([scale, 1.0, 1.0 / scale, 2.0])
    found = proxy_a_distance(source * scales, target * scales)
    # A row on the line may fall on either side of it by rounding.
    assert found == pytest.approx(proxy_a_distance(source, target), abs=4.0 / 20)


def test_the_folds_are_drawn_by_the_seed():
    source, target = made_up(6)
    assert proxy_a_distance(source, target, 1) == proxy_a_distance(source, target, 1)
    assert len({proxy_a_distance(source, target, seed) for seed in range(8)}) > 1


# MMD


def test_mmd_by_hand():
    # Within: exp(-1/2) and exp(-1/2); between: 2, 3, 1, 2 apart.
    between = (2 * math.exp(-2.0) + math.exp(-4.5) + math.exp(-0.5)) / 4
    expected = 2 * math.exp(-0.5) - 2 * between
    assert mmd([[0.0], [1.0]], [[2.0], [3.0]], bandwidth=1.0) == pytest.approx(expected, rel=1e-12)


def test_mmd_takes_the_median_distance_of_all_rows():
    # 1, 1, 1, 2, 2, 3 apart: 1.5 in the middle.
    source, target = [[0.0], [1.0]], [[2.0], [3.0]]
    assert mmd(source, target) == pytest.approx(mmd(source, target, bandwidth=1.5), rel=1e-12)
    source, target = made_up(7)
    middle = float(np.median(pdist(np.concatenate([source, target]))))
    assert mmd(source, target) == pytest.approx(mmd(source, target, bandwidth=middle), rel=1e-9)


@pytest.mark.parametrize("width", [3, 100])
def test_mmd_is_its_definition(width):
    source, target = made_up(8, width=width)
    s = 1.5 * math.sqrt(width)

    def pairs(x, y, same):
        kernel = np.exp(-(cdist(x, y) ** 2) / (2 * s**2))
        return kernel[~np.eye(len(x), dtype=bool)].mean() if same else kernel.mean()

    expected = pairs(source, source, True) + pairs(target, target, True) - 2 * pairs(source, target, False)
    assert mmd(source, target, s) == pytest.approx(expected, rel=1e-9)
    gamma = 1 / (2 * s**2)
    biased = (
        sum(rbf_kernel(x, x, gamma).mean() for x in (source, target))
        - 2 * rbf_kernel(source, target, gamma).mean()
    )
    assert mmd(source, target, s) < biased


def expected_kernel(mean, covariance, s):
    """E k(x, y) where x - y is normal with that mean and covariance."""
    wider = covariance + s**2 * np.eye(len(mean))
    away = np.exp(-0.5 * mean @ np.linalg.solve(wider, mean))
    return away / math.sqrt(np.linalg.det(wider / s**2))


def test_mmd_of_two_gaussians_is_unbiased():
    draw = np.random.default_rng(9)
    spread, mean, s = np.array([[1.0, 0.0], [0.7, 0.5]]), np.array([0.4, -0.3]), 1.3
    first, second = spread @ spread.T, np.eye(2)
    expected = expected_kernel(0 * mean, 2 * first, s) + expected_kernel(0 * mean, 2 * second, s)
    expected -= 2 * expected_kernel(mean, first + second, s)
    found = []
    for _ in range(400):
        source = mean + draw.standard_normal((10, 2)) @ spread.T
        found.append(mmd(source, draw.standard_normal((8, 2)), s))
    error = np.std(found, ddof=1) / math.sqrt(len(found))
    # The biased estimate would be more than ten of these errors off.
    assert error < 0.01 and abs(np.mean(found) - expected) < 3.5 * error


def test_mmd_of_one_distribution_may_be_below_0_and_is_0_in_the_mean():
    draw = np.random.default_rng(10)
    found = [mmd(draw.standard_normal((20, 3)), draw.standard_normal((15, 3))) for _ in range(200)]
    assert min(found) < 0.0 < max(found)
    assert abs(np.mean(found)) < 3.5 * np.std(found) / math.sqrt(200)


@settings(max_examples=8)
@given(seed=seeds, scale=st.floats(1e-3, 1e3))
def test_the_median_takes_the_scale_out_of_mmd(seed, scale):
    source, target = made_up(seed)
    assert mmd(scale * source, scale * target) == pytest.approx(mmd(source, target), rel=1e-6, abs=1e-12)


@pytest.mark.parametrize("rows", [np.full((6, 3), 0.1), np.array([[0.1, 0.3]] * 5 + [[7.7, 0.2]])])
def test_mmd_without_a_median_distance_is_not_measured(rows):
    with pytest.raises(NotMeasured, match="median distance of the rows is 0"):
        mmd(rows, rows[:5])
    assert math.isfinite(mmd(rows, rows[:5], bandwidth=1.0))


@pytest.mark.parametrize("seed", range(6))
def test_equal_rows_have_no_median_distance_where_rounding_gives_them_one(seed):
    draw = np.random.default_rng(seed)
    rows = np.concatenate(
        [np.repeat(draw.standard_normal((1, 768)), 9, axis=0), draw.standard_normal((2, 768))]
    )
    with pytest.raises(NotMeasured, match="median distance of the rows is 0"):
        mmd(rows, rows[:9])


@pytest.mark.parametrize("bandwidth", [0.0, -1.0, math.nan])
def test_a_bandwidth_has_to_be_above_0(bandwidth):
    with pytest.raises(ValueError, match="above 0"):
        mmd(*made_up(12), bandwidth)


# CORAL


def test_coral_distance_by_hand():
    # Variances 2 and 8, and a covariance of 4 against none: (36 + 2 * 16) / 16.
    source = [[-1.0, -1.0], [1.0, 1.0]]
    assert coral_distance([[0.0], [2.0]], [[0.0], [4.0]]) == pytest.approx(36.0 / 4.0, rel=1e-12)
    # All four entries 2 against 0.
    assert coral_distance(source, [[3.0, 3.0], [3.0, 3.0]]) == pytest.approx(4 * 4.0 / 16.0, rel=1e-12)


@pytest.mark.parametrize("width", [3, 50])
def test_coral_distance_is_its_definition(width):
    source, target = made_up(13, width=width)
    difference = np.cov(source, rowvar=False) - np.cov(target, rowvar=False)
    expected = np.linalg.norm(difference, "fro") ** 2 / (4 * width**2)
    assert coral_distance(source, target) == pytest.approx(expected, rel=1e-9)


def test_coral_distance_is_that_of_the_strategy():
    import torch

    from tlplug_plugins.strategies.layers.features import coral

    source, target = made_up(14)
    expected = coral(torch.tensor(source), torch.tensor(target)).item()
    assert coral_distance(source, target) == pytest.approx(expected, rel=1e-6)


def test_coral_distance_of_gaussians_with_known_covariances():
    # Rows at +-sqrt(c) along each axis have the covariance 2 c / (2 width - 1) I.
    points = np.concatenate([np.eye(3), -np.eye(3)])
    expected = 3 * (2 * 5.0 / 5 - 2 * 2.0 / 5) ** 2 / (4 * 9)
    assert coral_distance(math.sqrt(5.0) * points, 7.0 + math.sqrt(2.0) * points) == pytest.approx(
        expected, rel=1e-12
    )


@settings(max_examples=8)
@given(seed=seeds, scale=st.floats(1e-2, 1e2))
def test_coral_distance_grows_with_the_fourth_power_of_the_scale(seed, scale):
    source, target = made_up(seed)
    assert coral_distance(scale * source, scale * target) == pytest.approx(
        scale**4 * coral_distance(source, target), rel=1e-9
    )


def test_coral_distance_of_constant_features_is_0():
    assert coral_distance(np.full((6, 3), 0.1), np.full((4, 3), 0.7)) == 0.0


# The plugins


def recorded(*probes, seed=20):
    """Features of three layers, with those of the probes."""
    layers = {}
    for number, name in enumerate(["", *(f"/{probe}" for probe in probes)]):
        for when in ("before", "after"):
            draw = np.random.default_rng(seed + number + 10 * (when == "after"))
            rows = draw.standard_normal((3, 12 + number, 5)) + number
            layers[f"features/{when}{name}"] = rows.astype(np.float32)
    return layers


@pytest.mark.parametrize("name", FORMULAS)
@pytest.mark.parametrize("probes", [("source", "target"), ("source",), ("target",)])
def test_values_of_what_was_recorded(name, probes):
    evidence = recorded(*probes)
    assert metric(name).requires == {"features/before"}
    found = metric(name).measure(evidence)
    for probe in probes:
        pairs = zip(evidence[f"features/before/{probe}"], evidence["features/before"], strict=True)
        expected = [FORMULAS[name](other, task) for other, task in pairs]
        assert [found.pop(f"{probe}/layer/{layer}") for layer in range(3)] == pytest.approx(expected)
        assert found.pop(probe) == pytest.approx(expected[-1])
        after = FORMULAS[name](evidence[f"features/after/{probe}"][-1], evidence["features/after"][-1])
        assert found.pop(f"{probe}/after") == pytest.approx(after)
    assert not found


@pytest.mark.parametrize("name", FORMULAS)
@pytest.mark.parametrize("gone", ["features/after", "features/after/source"])
def test_after_only_where_both_are_recorded(name, gone):
    evidence = recorded("source")
    del evidence[gone]
    assert set(metric(name).measure(evidence)) == {"source", *(f"source/layer/{layer}" for layer in range(3))}


@pytest.mark.parametrize("name", FORMULAS)
def test_without_other_rows_the_reason_says_what_to_name(name):
    with pytest.raises(NotMeasured) as raised:
        metric(name).measure(recorded())
    assert "transfer.source_domain=..." in str(raised.value) and "data.target_domain=..." in str(raised.value)
    reasons = {
        "features/before/source": "its text has no rows",
        "features/before/target": "no data.target_domain",
    }
    with pytest.raises(NotMeasured, match="its text has no rows; no data.target_domain"):
        metric(name).measure(recorded() | {"reasons": reasons})


def test_a_layer_without_a_value_costs_only_itself():
    evidence = recorded("source")
    evidence["features/before"][1] = evidence["features/before/source"][1] = 0.1
    found = metric("mmd").measure(evidence)
    assert [key for key, value in found.items() if isinstance(value, NotMeasured)] == ["source/layer/1"]


@pytest.mark.parametrize("name", FORMULAS)
def test_a_run_that_diverged_keeps_the_values_before_it(name):
    evidence = recorded("source")
    evidence["features/after"][:] = np.nan
    found = metric(name).measure(evidence)
    assert str(found["source/after"]) == "the features are not finite"
    assert math.isfinite(found["source"])


def test_too_few_rows_everywhere_is_one_reason():
    evidence = {key: rows[:, :4] for key, rows in recorded("source", "target").items()}
    with pytest.raises(NotMeasured, match="at least 5 rows"):
        metric("proxy_a_distance").measure(evidence)


def test_the_seed_reaches_the_folds():
    evidence = recorded("source")
    last = evidence["features/before/source"][-1], evidence["features/before"][-1]
    for seed in range(4):
        found = metric("proxy_a_distance", seed=seed).measure(evidence)
        assert found["source"] == proxy_a_distance(*last, seed)
