"""Several runs as one comparison: what is found, the tests of pairs, the figures, the words, the page."""

import io
import itertools
import json
import re
import shutil
from html.parser import HTMLParser

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console
from scipy.stats import binomtest, permutation_test, ttest_rel
from scipy.stats import t as student

from tests.commands.sample_runs import make_run, make_sweep, right
from tlplug.commands.report.find import find, is_run
from tlplug.commands.report.groups import by_task, short
from tlplug.commands.report.page import make_report
from tlplug.commands.report.report import gather, retell
from tlplug.commands.report.result import make_gathered
from tlplug.commands.report.table import show_gathered
from tlplug.errors import UsageError
from tlplug.evaluation.confidence_intervals import seed_interval
from tlplug.evaluation.significance import (
    DRAWS,
    MOST_SUMS,
    OVER_BOTH,
    OVER_EXAMPLES,
    holm,
    paired_t,
    paired_test,
    pareto_front,
    permutation_p,
)
from tlplug.reports.html import page
from tlplug.reports.markdown import markdown


def gathered_from(*places):
    runs, excluded = find(places)
    tasks, others = by_task(runs)
    return make_gathered(tasks, [*excluded, *others])


def task_of(*places):
    return gathered_from(*places)["tasks"][0]


def named(task):
    return {each["name"]: each for each in task["strategies"]}


def pair_of(task, *names):
    return next(pair for pair in task["pairs"] if {pair["first"], pair["second"]} == set(names))


# Tests of pairs


def test_holm_by_hand():
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.6, 0.7]) == [1.0, 1.0]
    assert holm([]) == []


@given(st.lists(st.floats(0, 1), min_size=1, max_size=6))
@settings(deadline=None, max_examples=40)
def test_holm_is_the_closed_test_of_bonferroni_s(p_values):
    """Adjusted: the largest, over all sets of hypotheses that one is in, of the set's size times its smallest p."""
    places = range(len(p_values))
    sets = [kept for size in places for kept in itertools.combinations(places, size + 1)]
    expected = [
        max(min(1.0, len(kept) * min(p_values[other] for other in kept)) for kept in sets if place in kept)
        for place in places
    ]
    assert holm(p_values) == pytest.approx(expected)


@pytest.mark.parametrize("wrong", [-0.1, 1.1, float("nan")])
def test_what_is_no_p_value_is_refused(wrong):
    with pytest.raises(ValueError, match="0 to 1"):
        holm([0.5, wrong])


def test_the_t_test_is_scipy_s():
    rng = np.random.default_rng(0)
    for count in (2, 3, 8):
        first, second = rng.normal(size=(2, count))
        assert paired_t(first - second) == pytest.approx(ttest_rel(first, second).pvalue, rel=1e-9)


def test_the_t_test_by_hand():
    # Mean 2, standard error 1 / sqrt(3), so t = 2 sqrt(3) with 2 degrees of freedom: p = 1 - t / sqrt(t^2 + 2).
    assert paired_t(np.array([1.0, 2.0, 3.0])) == pytest.approx(1 - (12 / 14) ** 0.5)


@pytest.mark.parametrize(
    "scores, expected", [([0.0] * 3, 1.0), ([1e-17, -1e-17, 2e-17], 1.0), ([0.1] * 3, 0.0)]
)
def test_seeds_that_do_not_differ(scores, expected):
    assert paired_t(np.array(scores)) == expected


@given(st.lists(st.sampled_from([-14, -4, 0, 4, 9]), min_size=2, max_size=9))
@settings(deadline=None, max_examples=30)
def test_the_permutation_test_is_scipy_s_where_that_lists_all_signs(differences):
    values = np.array(differences) / 20
    theirs = permutation_test(
        (values, np.zeros(len(values))),
        # Rounded: sums that are equal, but for their last bit, count as such.
        lambda x, y, axis: np.abs(np.sum(x - y, axis=axis)).round(9),
        permutation_type="samples",
        alternative="greater",
        vectorized=True,
        n_resamples=np.inf,
    )
    assert permutation_p(values) == pytest.approx(theirs.pvalue, rel=1e-9)


def test_of_zeros_and_ones_it_is_mcnemar_s_exact_test():
    wins, losses = 30, 14
    values = np.array([1.0] * wins + [-1.0] * losses + [0.0] * 156)
    assert permutation_p(values) == pytest.approx(binomtest(wins, wins + losses).pvalue, rel=1e-9)


def test_where_there_are_too_many_sums_it_draws():
    """Against the normal law that the sum of many signed differences follows."""
    values = np.random.default_rng(3).normal(0.1, 1, 400)
    assert MOST_SUMS < 2.0**400
    z = abs(values.sum()) / np.sqrt((values**2).sum())
    expected = 2 * student.sf(z, 1e9)
    assert permutation_p(values) == pytest.approx(expected, abs=4 * np.sqrt(expected / DRAWS))
    assert permutation_p(values + 9) == pytest.approx(1 / (1 + DRAWS))


def test_with_three_seeds_both_tests_have_to_agree():
    rng = np.random.default_rng(5)
    gains = rng.normal(0.3, 1, (3, 12))
    both = ttest_rel(gains.mean(1), np.zeros(3)).pvalue, permutation_p(gains.mean(0))
    assert paired_test(gains) == (pytest.approx(max(both), rel=1e-9), OVER_BOTH)
    assert paired_test(gains[:2]) == (pytest.approx(permutation_p(gains[:2].mean(0))), OVER_EXAMPLES)


def test_strategies_without_chance_are_not_told_apart_by_one_example():
    one_better = np.zeros((3, 60))
    one_better[:, 7] = 1.0
    assert paired_t(one_better.mean(1)) == 0.0
    assert paired_test(one_better)[0] == 1.0


@pytest.mark.parametrize("spread", [(0.0, 1.0), (0.3, 0.1)], ids=["examples vary", "seeds vary"])
def test_where_nothing_differs_about_1_in_20_is_told_apart_at_most(spread):
    rng, found = np.random.default_rng(1), 0
    for _ in range(200):
        gains = rng.normal(0, spread[0] + 1e-6, (3, 1)) + rng.normal(0, spread[1], (1, 15))
        found += paired_test(gains)[0] < 0.05
    assert found / 200 <= 0.05 + 3 * (0.05 * 0.95 / 200) ** 0.5


# The Pareto front


def test_the_front_by_hand():
    costs, gains = [1.0, 2.0, 2.0, 3.0, 4.0], [0.5, 0.7, 0.6, 0.7, 0.9]
    assert pareto_front(costs, gains) == [True, True, False, False, True]
    assert pareto_front([1.0, 1.0], [0.5, 0.5]) == [True, True]


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), min_size=1, max_size=9))
@settings(deadline=None, max_examples=50)
def test_what_is_off_the_front_is_beaten_by_what_is_on_it(points):
    """By the other definition: the points that stay when they are taken by cost and only improvements are kept."""
    kept, best = set(), -1
    for cost, gain in sorted(points, key=lambda point: (point[0], -point[1])):
        if gain > best:
            kept.add((cost, gain))
            best = gain
    marks = pareto_front([float(cost) for cost, _ in points], [float(gain) for _, gain in points])
    assert {point for point, mark in zip(points, marks, strict=True) if mark} == kept
    assert [point in kept for point in points] == marks


# What is found


def test_a_sweep_is_found_with_its_numbers_in_order(tmp_path):
    make_sweep(tmp_path / "sweep", {"lora": 0.8}, seeds=range(12))
    runs, excluded = find([tmp_path])
    assert [run.folder.name for run in runs] == [str(number) for number in range(12)]
    assert not excluded


def test_the_same_run_counts_once(tmp_path):
    make_sweep(tmp_path / "sweep", {"lora": 0.8, "full": 0.9}, seeds=(1, 2))
    run = tmp_path / "sweep" / "0"
    (tmp_path / "link").symlink_to(run)
    runs, excluded = find([tmp_path / "sweep", run, tmp_path / "link"])
    assert (len(runs), excluded) == (4, [])
    shutil.copytree(run, tmp_path / "copy")
    found = gathered_from(tmp_path / "sweep", tmp_path / "copy")
    assert sum(len(each["runs"]) for each in found["tasks"][0]["strategies"]) == 4
    assert found["excluded"] == [{"folder": str(tmp_path / "copy"), "reason": f"it is a copy of {run}"}]


def test_a_second_run_with_the_same_settings_and_seed_is_left_out(tmp_path):
    first = make_run(tmp_path / "a", right(0.8))
    make_run(tmp_path / "b", right(0.9))
    found = gathered_from(tmp_path)
    assert [run["folder"] for run in found["tasks"][0]["strategies"][0]["runs"]] == [str(first)]
    assert str(first) in found["excluded"][0]["reason"] and "same seed" in found["excluded"][0]["reason"]


def unfinished(folder):
    (folder / "result.json").unlink()


def of_another_version(folder):
    change(folder, version=2)


def lacking(folder):
    result = json.loads((folder / "result.json").read_text())
    del result["cost"], result["seed"]
    (folder / "result.json").write_text(json.dumps(result))


def broken(folder):
    (folder / "result.json").write_text("{")


def without_evidence(folder):
    shutil.rmtree(folder / "evidence")


def with_old_evidence(folder):
    index = folder / "evidence" / "index.json"
    index.write_text(json.dumps({**json.loads(index.read_text()), "version": 7}))


def with_broken_evidence(folder):
    (folder / "evidence" / "arrays.safetensors").write_bytes(b"no")


def with_a_broken_config(folder):
    (folder / "config.yaml").write_text("a: [")


def change(folder, **keys):
    result = json.loads((folder / "result.json").read_text())
    (folder / "result.json").write_text(json.dumps({**result, **keys}))


def of_another_score(folder):
    change(folder, primary_score="macro_f1")


BROKEN = {
    unfinished: "not finished",
    of_another_version: "of version 2; this tlplug reads version 1",
    lacking: "lacks seed, cost",
    broken: "result.json cannot be read",
    without_evidence: "no evidence/",
    with_old_evidence: "evidence version 7",
    with_broken_evidence: "evidence cannot be read",
    with_a_broken_config: "config.yaml cannot be read",
    of_another_score: "its primary score is macro_f1, that of the others accuracy",
}


@pytest.mark.parametrize("harm", BROKEN, ids=lambda harm: harm.__name__)
def test_what_cannot_be_used_is_listed_with_its_reason(tmp_path, harm):
    make_sweep(tmp_path, {"lora": 0.8, "full": 0.9}, seeds=(1, 2))
    harm(tmp_path / "3")
    found = gathered_from(tmp_path)
    assert [each["folder"] for each in found["excluded"]] == [str(tmp_path / "3")]
    assert BROKEN[harm] in found["excluded"][0]["reason"]
    assert sum(len(each["runs"]) for each in found["tasks"][0]["strategies"]) == 3


@pytest.mark.parametrize(
    ("scores", "others", "reason"),
    [
        (right(0.9, 80), {}, "tested on 80 rows, the others on 100"),
        (right(0.9), {"ids": range(50, 150)}, "not on the same ones"),
        ([0.5, float("nan")] * 50, {}, "no finite score"),
        ([1.0], {}, "one test row"),
    ],
)
def test_runs_on_other_test_rows_are_left_out(tmp_path, scores, others, reason):
    make_sweep(tmp_path, {"lora": 0.8}, seeds=(1, 2))
    make_run(tmp_path / "other", scores, "full", seed=1, **{k: list(v) for k, v in others.items()})
    (left,) = gathered_from(tmp_path)["excluded"]
    assert left["folder"].endswith("other") and reason in left["reason"]


def test_other_targets_of_the_same_rows_are_left_out(tmp_path):
    make_sweep(tmp_path, {"lora": 0.8}, seeds=(1, 2))
    other = make_run(tmp_path / "other", right(0.9), "full")
    values = other / "evidence" / "values.json"
    values.write_text(values.read_text().replace('"positive"', '"pos"'))
    (left,) = gathered_from(tmp_path)["excluded"]
    assert "other targets" in left["reason"]


def test_most_runs_decide_which_test_split_it_is(tmp_path):
    make_run(tmp_path / "0", right(0.8, 40), "full")
    make_run(tmp_path / "1", right(0.8), "lora", seed=1)
    make_run(tmp_path / "2", right(0.8), "lora", seed=2)
    found = gathered_from(tmp_path)
    assert found["tasks"][0]["test_rows"] == 100 and found["excluded"][0]["folder"].endswith("0")


def test_a_folder_of_a_comparison_is_no_run(tmp_path):
    (tmp_path / "config.yaml").write_text("compare: {}\nstrategies: {}\n")
    assert not is_run(tmp_path)
    (tmp_path / "config.yaml").write_text("seed: 1\nstrategy: {name: lora}\n")
    assert is_run(tmp_path)


def test_rows_are_paired_by_their_ids_whatever_their_order(tmp_path):
    scores = np.random.default_rng(0).normal(size=30)
    order = np.random.default_rng(1).permutation(30)
    make_run(tmp_path / "a", scores, "lora")
    make_run(tmp_path / "b", scores[order] + 0.25, "full", ids=order)
    gain = task_of(tmp_path)["pairs"][0]["gain"]
    assert (gain["mean"], gain["low"], gain["high"]) == pytest.approx((0.25, 0.25, 0.25))


# Names


def test_settings_that_differ_within_a_strategy_are_in_its_name(tmp_path):
    for number, rank in enumerate((8, 16)):
        make_run(tmp_path / str(number), right(0.8, seed=number), strategy_config={"r": rank})
    make_run(tmp_path / "2", right(0.9), "full", config={"data": {"batch_size": 32}})
    found = task_of(tmp_path)
    assert set(named(found)) == {"lora r=8", "lora r=16", "full"}
    assert "full: 32" in found["differing_settings"]["data.batch_size"]


def test_a_name_is_the_same_in_each_task(tmp_path):
    for number, rank in enumerate((8, 16)):
        make_run(tmp_path / str(number), right(0.8), strategy_config={"r": rank}, task="first")
    make_run(tmp_path / "2", right(0.8), strategy_config={"r": 8}, task="second")
    assert set(named(gathered_from(tmp_path)["tasks"][1])) == {"lora r=8"}


def test_what_a_run_records_is_no_setting(tmp_path):
    for seed, baselines in ((1, ["trivial"]), (2, [])):
        make_run(tmp_path / str(seed), right(0.8), seed=seed, config={"transfer": {"baselines": baselines}})
    assert named(task_of(tmp_path))["lora"]["seeds"] == [1, 2]


def test_the_number_of_workers_is_no_setting(tmp_path):
    for seed in (0, 2):
        make_run(tmp_path / str(seed), right(0.8), seed=seed, config={"data": {"num_workers": seed}})
    assert named(task_of(tmp_path))["lora"]["seeds"] == [0, 2]


def test_base_models_are_named_where_they_differ(tmp_path):
    for place, base in enumerate(("pkg://small/model", "pkg://large/model")):
        make_run(tmp_path / str(place), right(0.8), base_model=base)
    assert set(named(task_of(tmp_path))) == {"lora small", "lora large"}


def test_short_names_stay_apart():
    assert short(["a/bert", "b/bert"]) == {"a/bert": "a", "b/bert": "b"}
    assert short(["a/x", "a/y"]) == {"a/x": "x", "a/y": "y"}
    assert short(["a/x", "b/x", "b/y"]) == {"a/x": "a/x", "b/x": "b/x", "b/y": "b/y"}
    assert short(["x"]) == {"x": "x"}


# Figures


def test_scores_and_gains_are_those_of_the_formulas(tmp_path):
    rng = np.random.default_rng(2)
    scores = {name: rng.random((3, 40)) for name in ("lora", "full")}
    for name, values in scores.items():
        for seed, row in enumerate(values):
            make_run(tmp_path / f"{name}{seed}", row, name, seed=seed)
    task = task_of(tmp_path)
    for name, values in scores.items():
        assert named(task)[name]["score"]["mean"] == pytest.approx(values.mean(), rel=1e-9)
        assert named(task)[name]["score"]["low"] == pytest.approx(seed_interval(values).low, rel=1e-9)
    pair = task["pairs"][0]
    gains = scores[pair["first"]] - scores[pair["second"]]
    assert pair["gain"]["mean"] == pytest.approx(gains.mean()) and pair["gain"]["mean"] > 0
    assert pair["gain"]["high"] == pytest.approx(seed_interval(gains).high)
    expected = max(ttest_rel(gains.mean(1), np.zeros(3)).pvalue, permutation_p(gains.mean(0)))
    assert pair["p_value"] == pair["p_value_holm"] == pytest.approx(expected)
    assert (pair["seeds"], pair["paired_by"]) == ([0, 1, 2], ["seed", "example"])


def test_only_shared_seeds_are_paired(tmp_path):
    rng = np.random.default_rng(4)
    scores = {("lora", 1): rng.random(20), ("lora", 2): rng.random(20), ("full", 2): rng.random(20)}
    for (name, seed), values in scores.items():
        make_run(tmp_path / f"{name}{seed}", values, name, seed=seed)
    pair = task_of(tmp_path)["pairs"][0]
    sign = 1 if pair["first"] == "lora" else -1
    gains = sign * (scores["lora", 2] - scores["full", 2])
    assert (pair["seeds"], pair["test"]) == ([2], OVER_EXAMPLES)
    assert pair["gain"]["mean"] == pytest.approx(gains.mean())
    assert pair["p_value"] == pytest.approx(permutation_p(gains))


def test_without_a_shared_seed_means_are_paired_by_example(tmp_path):
    rng = np.random.default_rng(4)
    scores = {("lora", 1): rng.random(20), ("lora", 2): rng.random(20), ("full", 3): rng.random(20)}
    for (name, seed), values in scores.items():
        make_run(tmp_path / f"{name}{seed}", values, name, seed=seed)
    pair = task_of(tmp_path)["pairs"][0]
    difference = (scores["lora", 1] + scores["lora", 2]) / 2 - scores["full", 3]
    assert (pair["seeds"], pair["paired_by"]) == ([], ["example"])
    assert abs(pair["gain"]["mean"]) == pytest.approx(abs(difference.mean()))


def test_p_values_are_corrected_over_all_pairs_of_a_task_and_no_more(tmp_path):
    make_sweep(tmp_path, {"linear_probe": 0.6, "lora": 0.75, "full": 0.8}, tasks=("one", "two"))
    for task in gathered_from(tmp_path)["tasks"]:
        assert [pair["p_value_holm"] for pair in task["pairs"]] == holm(
            [pair["p_value"] for pair in task["pairs"]]
        )
        assert len(task["pairs"]) == 3


def test_where_lower_is_better_the_lowest_is_best_and_gains_are_positive(tmp_path):
    keys = {"primary_score": "perplexity", "higher_is_better": False, "display_scale": 1}
    for name, height in (("lora", 12.0), ("full", 9.0)):
        for seed in (1, 2, 3):
            rng = np.random.default_rng(seed)
            values, scratch = height + rng.random(50), 30 + rng.random(50)
            make_run(tmp_path / f"{name}{seed}", values, name, seed=seed, scratch=scratch, **keys)
    task = task_of(tmp_path)
    assert task["best"] == "full" and task["pairs"][0]["gain"]["mean"] == pytest.approx(3.0)
    found = named(task)["full"]["against_scratch"]
    assert found["label"] == "positive" and found["error_difference"] == pytest.approx(-21, abs=0.5)


def test_the_lightest_is_not_told_from_the_best(tmp_path):
    task = task_of(make_sweep(tmp_path))
    assert (task["best"], task["lightest"]) == ("full", "lora")
    assert pair_of(task, "full", "linear_probe")["significant"]
    assert not pair_of(task, "full", "lora")["significant"]
    worse_and_dear = task_of(make_sweep(tmp_path / "x", {"lora": 0.8, "full": 0.5}))
    assert (worse_and_dear["best"], worse_and_dear["lightest"]) == ("lora", "lora")
    assert named(worse_and_dear)["full"]["pareto"] == {"trainable_share": False, "seconds": False}


def test_negative_transfer_over_seeds_is_the_paired_t(tmp_path):
    rng = np.random.default_rng(8)
    pairs = [(rng.random(30), rng.random(30) + 0.5) for _ in range(4)]
    for seed, (scores, scratch) in enumerate(pairs):
        make_run(tmp_path / str(seed), scores, seed=seed, scratch=scratch)
    found = named(task_of(tmp_path))["lora"]["against_scratch"]
    run, scratch = ([each[side].mean() for each in pairs] for side in (0, 1))
    interval = ttest_rel(scratch, run).confidence_interval(0.95)
    assert (found["low"], found["high"]) == pytest.approx((interval.low, interval.high), rel=1e-9)
    assert (found["seeds"], found["interval"], found["label"]) == (4, "paired t over seeds", "negative")


def test_negative_transfer_of_one_seed_is_over_examples_and_says_so(tmp_path):
    make_run(tmp_path / "0", right(0.8), scratch=right(0.5), seed=0)
    make_run(tmp_path / "1", right(0.8), seed=1)
    make_run(tmp_path / "2", right(0.8), "full", seed=1)
    task = task_of(tmp_path)
    found = named(task)["lora"]["against_scratch"]
    assert (found["seeds"], found["interval"]) == (1, "paired bootstrap over examples")
    assert found["error_difference"] == pytest.approx(right(0.5).mean() - right(0.8).mean())
    assert "transfer.baselines" in named(task)["full"]["against_scratch"]["not_measured"]


def test_what_was_forgotten_is_the_mean_over_the_seeds_that_measured_it(tmp_path):
    for seed, change in enumerate((-0.1, -0.2, None)):
        lost = {"not_measured": "no labels"} if change is None else change
        metrics = {"retention": {"source_score/change": lost, "probe/change": {"not_measured": "no labels"}}}
        make_run(tmp_path / str(seed), right(0.8), seed=seed, metrics=metrics)
    found = named(task_of(tmp_path))["lora"]["metrics"]
    half = student.ppf(0.975, 1) * 0.05
    assert found["retention"]["source_score/change"] == pytest.approx(
        {"mean": -0.15, "low": -0.15 - half, "high": -0.15 + half, "seeds": 2}
    )
    assert found["retention"]["probe/change"] == {"not_measured": "no labels"}
    assert "not asked for" in found["source_nll"]["not_measured"]


def test_a_metric_that_was_not_measured_as_a_whole_gives_its_reason(tmp_path):
    make_run(tmp_path / "0", right(0.8), metrics={"source_nll": {"not_measured": "no source"}})
    found = named(task_of(tmp_path))["lora"]["metrics"]["source_nll"]
    assert found == {"not_measured": "no source"}


@pytest.mark.parametrize("value", ["value", "words_lost"])
def test_a_metric_of_forgetting_without_columns_that_was_measured_has_nothing_to_compare(tmp_path, value):
    facts = {"section": "forgotten", "facts": [{"key": value, "text": "words lost: 3"}]}
    for seed, strategy in ((1, "lora"), (1, "full")):
        folder = tmp_path / strategy
        make_run(folder, right(0.8), strategy, seed=seed, metrics={"vocabulary_lost": {value: 3.0}})
        result = json.loads((folder / "result.json").read_text())
        result["metric_facts"]["vocabulary_lost"] = facts
        (folder / "result.json").write_text(json.dumps(result))
    gathered = gathered_from(tmp_path)
    assert "vocabulary_lost" not in gathered["tasks"][0]["metrics"]
    assert "vocabulary_lost" not in page(make_report(gathered))


def test_a_run_without_its_cost_is_compared_and_not_on_a_front(tmp_path):
    scores = right(0.8)
    better = scores.copy()
    better[np.flatnonzero(scores == 0)[:2]] = 1.0
    make_run(tmp_path / "lora", scores)
    make_run(tmp_path / "full", better, "full", cost=None)
    found = gathered_from(tmp_path)
    task = found["tasks"][0]
    assert named(task)["full"]["pareto"] == {"trainable_share": None, "seconds": None}
    assert (task["best"], task["lightest"]) == ("full", "lora")
    # Two wins and no loss: as likely as not of both signs, one time in two.
    assert task["pairs"][0]["p_value"] == pytest.approx(0.5)
    assert "not known" in shown(found, 80) and "full" in page(make_report(found))


# Words, table, page


def shown(gathered, width):
    file = io.StringIO()
    show_gathered(Console(width=width, file=file), gathered)
    return file.getvalue()


@pytest.mark.parametrize("width", [80, 120])
def test_the_table_lines_up(tmp_path, width):
    shares = {"linear_probe": 0.3, "lora": 0.85, "full": 0.5}
    lines = shown(gathered_from(make_sweep(tmp_path, shares)), width).split("\n")
    rule = next(place for place, line in enumerate(lines) if "───" in line)
    rows = lines[rule + 1 : rule + 4]
    assert [row.split()[0] for row in rows] == ["lora", "full", "linear_probe"]
    assert [row.count("*") for row in rows] == [2, 0, 2]
    assert max(map(len, lines[: rule + 4])) <= width
    # One place for the sign of the interval, one for the point of the last figure, the seconds.
    assert len({row.index("±") for row in rows}) == 1
    assert len({row.rindex(".") for row in rows}) == 1


def test_the_sentence_names_best_lightest_and_front(tmp_path):
    found = gathered_from(make_sweep(tmp_path))["summary"]
    assert re.match(r"sentiment: full has the best mean, accuracy \d\d\.\d \(95% interval", found)
    assert "lora is the lightest that is not told from it: 10% of the weights trained" in found
    assert "Pareto-optimal by share of weights trained and by seconds: full, lora and linear_probe." in found


def test_a_best_beyond_noise_is_called_best(tmp_path):
    found = gathered_from(make_sweep(tmp_path, {"linear_probe": 0.3, "lora": 0.9}))["summary"]
    assert "lora is best" in found and "Every other is worse beyond noise." in found


def test_few_seeds_are_told(tmp_path):
    found = gathered_from(make_sweep(tmp_path, seeds=(1,)))["summary"]
    assert "share 1 seed only, so that how much seeds differ is not in their p" in found


def test_one_strategy_is_nothing_to_compare(tmp_path):
    found = gathered_from(make_sweep(tmp_path, {"lora": 0.8}))
    assert "only lora was run" in found["summary"] and found["tasks"][0]["pairs"] == []
    assert "only lora was run" in page(make_report(found))


class Document(HTMLParser):
    """Tags as they stand in each other, and what would be fetched."""

    def __init__(self, text):
        super().__init__()
        self.open, self.fetched, self.ids, self.text = [], [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        found = dict(attrs)
        self.fetched += [value for name, value in attrs if name in ("src", "href", "data") and value]
        self.ids += [found["id"]] if "id" in found else []
        if tag not in ("meta", "link", "br"):
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        if tag not in ("meta", "link", "br"):
            self.open.pop()

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)


def test_the_page_is_whole_and_fetches_nothing(tmp_path):
    make_sweep(tmp_path, tasks=("sentiment", "a&b <i>"))
    make_run(tmp_path / "old", right(0.8), "full", version=0)
    found = page(make_report(gathered_from(tmp_path)))
    document = Document(found)
    assert not document.open and len(document.ids) == len(set(document.ids))
    assert all(place.startswith(("#", "data:,")) for place in document.fetched)
    assert "<i>" not in found and "<script" not in found and found.count("<svg") == 6
    assert not re.search(r"#0101\w\w", found), "a placeholder of a colour is left"
    for word in ("Pareto-optimal", "Pairs", "Left out", "version 0", "seed"):
        assert word in found


def test_the_page_and_markdown_have_every_figure_of_the_pairs(tmp_path):
    found = gathered_from(make_sweep(tmp_path))
    for text in (page(make_report(found)), markdown(make_report(found)).replace("\\", "")):
        for pair in found["tasks"][0]["pairs"]:
            assert f"{pair['first']} over {pair['second']}" in text
            assert f"{100 * pair['gain']['mean']:+.1f}" in text


def test_what_costs_nothing_is_on_the_picture(tmp_path):
    nothing = {"trainable_parameters": 0, "total_parameters": 1000, "seconds": 0.5, "peak_memory_mb": 1.0}
    make_sweep(tmp_path, {"lora": 0.8}, seeds=(1,))
    make_run(tmp_path / "zero", right(0.5), "zero_shot", cost=nothing)
    found = gathered_from(tmp_path)
    assert named(found["tasks"][0])["zero_shot"]["trainable_share"] == 0.0
    assert "zero_shot" in page(make_report(found)) and "* 0%" in shown(found, 80)


# Folders


def test_a_sweep_s_comparison_is_written_into_it_and_again(tmp_path):
    make_sweep(tmp_path)
    first, folder = gather([tmp_path])
    assert folder == tmp_path and {"comparison.json", "report.html", "report.md"} <= {
        p.name for p in tmp_path.iterdir()
    }
    assert json.loads((tmp_path / "comparison.json").read_text()) == first and first["version"] == 1
    assert gather([tmp_path])[0] == first


def test_figures_do_not_depend_on_the_order_in_which_runs_are_named(tmp_path):
    make_sweep(tmp_path / "sweep")
    runs = sorted((tmp_path / "sweep").iterdir())
    forth, _ = gather(runs, tmp_path / "forth")
    back, _ = gather(runs[::-1], tmp_path / "back")
    assert forth["tasks"] == back["tasks"]


def test_one_run_s_report_is_written_anew(tmp_path):
    make_run(tmp_path / "run", right(0.8))
    assert retell(tmp_path / "run") == tmp_path / "run"
    assert "lora" in (tmp_path / "run" / "report.html").read_text()
    assert retell(tmp_path / "run", tmp_path / "else") == tmp_path / "else"
    assert (tmp_path / "else" / "report.md").is_file()


@pytest.mark.parametrize("harm", [unfinished, of_another_version, without_evidence, with_broken_evidence])
def test_one_run_that_cannot_be_told_is_an_error(tmp_path, harm):
    run = make_run(tmp_path / "run", right(0.8))
    harm(run)
    with pytest.raises(UsageError, match=re.escape(str(run))):
        retell(run)
