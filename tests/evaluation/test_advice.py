"""What follows from a result: the strategy to take, the test rows it takes, more or fewer epochs."""

from types import SimpleNamespace

import numpy as np
import pytest

from tlplug.evaluation.advice import JudgedRun, advise, round_up, rows_needed
from tlplug.evaluation.bootstrap import compare_paired
from tlplug.evaluation.verdict import judge
from tlplug.interfaces import Outcome

ACCURACY = SimpleNamespace(primary_score="accuracy", higher_is_better=True, display_scale=100)
PERPLEXITY = SimpleNamespace(primary_score="perplexity", higher_is_better=False, display_scale=1)
WEIGHTS = {"linear_probe": 770, "bitfit": 30_000, "run": 340_000, "full": 22_000_000, "scratch": 22_000_000}


def outcome(name, scores, head, curve=()):
    cost = None if name == "trivial" else {"trainable_parameters": float(WEIGHTS[name])}
    values = [float(score) for score in scores]
    return Outcome([], {head.primary_score: float(np.mean(values))}, values, cost, curve=list(curve))


def judged(scores, head=ACCURACY, curve=()):
    """A run with `lora`, the scores of whose test rows stand under `run`, and its baselines."""
    found = {name: outcome(name, each, head, curve if name == "run" else ()) for name, each in scores.items()}
    run = found.pop("run")
    compared = {name: compare_paired(run.example_scores, each.example_scores) for name, each in found.items()}
    verdict = judge(compared, head, "scratch")
    return JudgedRun("lora", head, run, found, compared, verdict, "scratch" if "scratch" in found else None)


def right(share, rows=200, seed=0):
    """Scores of 0 and 1, this share of them 1; where seeds differ so does which."""
    return np.random.default_rng(seed).permutation(
        [1.0] * round(share * rows) + [0.0] * (rows - round(share * rows))
    )


def advice(scores, head=ACCURACY, curve=(), use_best=False):
    return advise(judged(scores, head, curve), train_rows=100, epochs=6, use_best=use_best)


def test_the_lightest_strategy_that_is_as_good_is_enough():
    scores = {"run": right(0.8), "linear_probe": right(0.79, seed=1), "bitfit": right(0.8, seed=2)}
    first, *_ = advice({**scores, "trivial": right(0.5), "scratch": right(0.6)})
    assert first.strategy == "linear_probe" and "linear_probe is enough" in first.text
    assert "accuracy 79.0, and 80.0 with lora (lora gains +1.0, 95% interval" in first.text
    assert "770 weights, lora 340,000" in first.text


def test_a_strategy_that_is_worse_or_heavier_is_not_enough():
    scores = {"run": right(0.9), "linear_probe": right(0.6), "full": right(0.9), "scratch": right(0.5)}
    assert [each for each in advice(scores) if each.strategy] == []


def test_what_did_better_is_named_also_where_it_trains_more():
    first, *_ = advice({"run": right(0.6), "linear_probe": right(0.62), "full": right(0.9)})
    assert first.strategy == "full" and "full did better" in first.text


def test_training_from_scratch_is_never_what_to_take():
    found = advice({"run": right(0.5), "scratch": right(0.9)})
    assert [each.strategy for each in found] == []


def test_a_run_that_is_no_better_than_a_constant_answer_says_so():
    texts = [each.text for each in advice({"run": right(0.51), "trivial": right(0.5, seed=3)})]
    assert any("not shown to be better than trivial" in text for text in texts)
    assert not any("trivial" in each.text for each in advice({"run": right(0.9), "trivial": right(0.5)}))


def test_an_inconclusive_verdict_names_the_rows_it_would_take():
    scores = {"run": right(0.75, 60), "scratch": right(0.7, 60, seed=1)}
    [found] = advice(scores)
    difference, rows = rows_needed(judged(scores), "scratch")
    assert (
        difference == pytest.approx(0.05)
        and f"about {rows:,} test rows" in found.text
        and "there are 60" in found.text
    )
    assert advice({"run": right(0.9), "scratch": right(0.5)}) == []


@pytest.mark.parametrize("seed", range(3))
def test_with_so_many_rows_four_tests_of_five_tell_the_difference(seed):
    """Of rows that are drawn anew from those there are, a t test is significant about 80 times in 100."""
    draw = np.random.default_rng(seed)
    run = draw.normal(0.5, 1.0, 150)
    other = run - draw.normal(0.2, 0.9, 150)
    difference, rows = rows_needed(judged({"run": run, "scratch": other}), "scratch")
    seen = run - other
    samples = seen[draw.integers(0, len(seen), (4000, rows))]
    t = samples.mean(1) / (samples.std(1, ddof=1) / np.sqrt(rows))
    assert difference == pytest.approx(abs(seen.mean()))
    assert (np.abs(t) > 1.96).mean() == pytest.approx(0.8, abs=0.04)


def test_a_difference_that_does_not_matter_is_not_what_the_rows_are_for():
    same = right(0.8)
    difference, rows = rows_needed(judged({"run": same, "scratch": same}), "scratch")
    assert (difference, rows) == (0.02, 1)
    difference, _ = rows_needed(judged({"run": [20.0, 30.0], "scratch": [20.0, 30.0]}, PERPLEXITY), "scratch")
    assert difference == pytest.approx(0.5)


@pytest.mark.parametrize(
    "rows, expected", [(0.2, 1), (7.1, 8), (99.5, 100), (1234, 1300), (1300, 1300), (87_001, 88_000)]
)
def test_rows_are_rounded_up_to_two_digits(rows, expected):
    assert round_up(rows) == expected


CURVES = {
    "improving": [[100, 0.6], [200, 0.66], [300, 0.7], [400, 0.74], [500, 0.76], [600, 0.78]],
    "worse": [[100, 0.7], [200, 0.8], [300, 0.78], [400, 0.77], [500, 0.76], [600, 0.75]],
    "flat": [[100, 0.7], [200, 0.8], [300, 0.79], [400, 0.795], [500, 0.796], [600, 0.797]],
    "short": [[300, 0.5], [600, 0.9]],
}


@pytest.mark.parametrize("head, sign, offset", [(ACCURACY, 1, 0), (PERPLEXITY, -1, 2)])
@pytest.mark.parametrize("name", CURVES)
def test_the_curve_says_whether_to_train_longer(name, head, sign, offset):
    curve = [[seen, offset + sign * score] for seen, score in CURVES[name]]
    better, worse = (right(0.9), right(0.2)) if sign > 0 else (right(0.2), right(0.9))
    texts = [each.text for each in advice({"run": better, "scratch": worse}, head, curve)]
    expected = {
        "improving": "more epochs may help: trainer.max_epochs=12",
        "worse": "was best after 2 of 6 epochs",
    }
    assert len(texts) == (name in expected)
    if name in expected:
        assert expected[name] in texts[0]
    kept = advice({"run": better, "scratch": worse}, head, curve, use_best=True)
    assert len(kept) == (name == "improving"), "the best weights are those of the result"


def test_a_run_that_was_compared_with_nothing_gives_advice_on_its_curve_alone():
    [found] = advice({"run": right(0.8)}, curve=CURVES["improving"])
    assert "more epochs" in found.text
