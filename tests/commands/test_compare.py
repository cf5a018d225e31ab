"""A comparison's arithmetic: intervals over seeds, when it stops, whom it names, what it expects, what it shows."""

import json
import re
import time
from dataclasses import replace
from html import unescape
from html.parser import HTMLParser
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lightning.pytorch import Callback
from scipy.stats import t as student

from tests.training.sample_tasks import QUICK, prepare, strategy
from tlplug.commands.compare.decision import Judge, Run, Rung, chosen_rate, finished
from tlplug.commands.compare.estimate import Batches, Estimate, batches_of, estimates
from tlplug.commands.compare.page import make_report
from tlplug.commands.compare.plan import CompareSettings
from tlplug.commands.compare.result import figures, spread
from tlplug.commands.compare.timing import Timing, timed
from tlplug.commands.compare.train_strategies import Shown, Trainings
from tlplug.errors import UsageError
from tlplug.evaluation.bootstrap import compare_paired
from tlplug.evaluation.confidence_intervals import seed_interval
from tlplug.interfaces import Outcome
from tlplug.reports.blocks import Chart
from tlplug.reports.formatting import duration
from tlplug.reports.html import page
from tlplug.reports.markdown import markdown
from tlplug.runtime import cache
from tlplug.settings import OptimizerSettings
from tlplug.training.fit import TrainingHooks, adapt

# Intervals over seeds and examples


def test_the_interval_is_that_of_the_formula():
    values = np.random.default_rng(0).normal(size=(3, 7))
    by_seed, by_example = (values.mean(axis).var(ddof=1) / count for axis, count in ((1, 3), (0, 7)))
    degrees = (by_seed + by_example) ** 2 / (by_seed**2 / 2 + by_example**2 / 6)
    half = student.ppf(0.975, degrees) * (by_seed + by_example) ** 0.5
    found = seed_interval(values)
    assert (found.mean, found.low, found.high) == pytest.approx(
        (values.mean(), values.mean() - half, values.mean() + half)
    )


def test_with_one_seed_it_is_about_examples_and_near_the_bootstrap():
    draw = np.random.default_rng(1)
    run, other = draw.integers(0, 2, 400).astype(float), draw.integers(0, 2, 400).astype(float)
    found, bootstrap = seed_interval([run - other]), compare_paired(run, other)
    assert (found.mean, found.low, found.high) == pytest.approx(
        (bootstrap.difference, bootstrap.low, bootstrap.high), abs=0.004
    )


def test_what_is_the_same_everywhere_has_no_width():
    found = seed_interval([[0.5] * 4] * 3)
    assert (found.mean, found.low, found.high) == (0.5, 0.5, 0.5)


@pytest.mark.parametrize("values", [[], [[]], [[1.0]], [1.0, 2.0]])
def test_other_shapes_are_refused(values):
    with pytest.raises(ValueError, match="two examples at least"):
        seed_interval(values)


def covered(draw, seeds, examples, noise, times=400):
    """How often the interval holds the true mean, 0, where seeds, examples and single predictions vary by `noise`."""
    hits = 0
    for _ in range(times):
        parts = [
            scale * draw.normal(size=shape)
            for scale, shape in zip(noise, [(seeds, 1), (1, examples), (seeds, examples)], strict=True)
        ]
        found = seed_interval(sum(parts))
        hits += found.low <= 0.0 <= found.high
    return hits / times


@pytest.mark.parametrize("seeds", [2, 3, 5])
@pytest.mark.parametrize(
    "noise", [(0, 1, 0), (0, 1, 1), (0.1, 1, 1), (1, 0.1, 0.1)], ids=["examples", "both", "all", "seeds"]
)
def test_about_95_in_100_intervals_hold_the_truth(seeds, noise):
    """The standard error of 400 draws is 1.1 points; noise of single predictions makes intervals a little wide."""
    assert covered(np.random.default_rng(seeds), seeds, 100, noise) >= 0.915


def test_the_bootstrap_over_few_seeds_would_not():
    """Why resampling is not what is done: three seeds that differ, resampled, hold the truth far too rarely."""
    draw, hits = np.random.default_rng(0), 0
    for _ in range(200):
        means = draw.normal(size=3)
        low, high = np.percentile(means[draw.integers(0, 3, (500, 3))].mean(1), [2.5, 97.5])
        hits += low <= 0.0 <= high
    assert hits / 200 < 0.85


# When it stops, and whom it names

ACCURACY = SimpleNamespace(primary_score="accuracy", higher_is_better=True, display_scale=100)
PERPLEXITY = SimpleNamespace(primary_score="perplexity", higher_is_better=False, display_scale=1)


def rung(name, values, head=ACCURACY):
    runs = [
        Run(seed, Outcome([], {head.primary_score: float(np.mean(row))}, list(map(float, row))), False)
        for seed, row in enumerate(np.asarray(values, float))
    ]
    return Rung(name, runs)


def right(share, examples=100, seeds=3):
    """So many of the examples are right, the same ones in every seed."""
    return [[1.0] * round(share * examples) + [0.0] * (examples - round(share * examples))] * seeds


def ladder(*shares):
    return [rung(f"s{number}", right(share)) for number, share in enumerate(shares)]


def climbed(rungs, judge):
    """What is run of a ladder."""
    for count in range(1, len(rungs) + 1):
        if judge.enough(rungs[:count]):
            break
    return rungs[:count]


def test_it_goes_on_while_the_next_one_gains_and_stops_where_it_does_not():
    found = climbed(ladder(0.5, 0.7, 0.71, 0.95), Judge(ACCURACY))
    assert [each.name for each in found] == ["s0", "s1", "s2"]
    assert Judge(ACCURACY).enough(found) == "s2 gains nothing over s1 beyond noise"


def test_all_are_run_where_it_is_not_to_stop():
    assert len(climbed(ladder(0.5, 0.4, 0.3, 0.95), Judge(ACCURACY, stop_early=False))) == 4


def test_a_target_that_is_met_stops_it_and_noise_does_not():
    judge = Judge(ACCURACY, target_score=0.85)
    found = climbed(ladder(0.5, 0.5, 0.86, 0.95), judge)
    assert [each.name for each in found] == ["s0", "s1", "s2"] and "reaches 85.0" in judge.enough(found)
    assert judge.lightest(found).name == "s2"
    assert judge.lightest(ladder(0.84, 0.86)).name == "s1", "noise is no reason to be below the target"
    assert "is the lightest that reaches 85.0" in judge.sentence(found, rung("trivial", right(0.4)))


def test_a_target_that_none_meets_is_said():
    judge = Judge(ACCURACY, target_score=0.99)
    found = climbed(ladder(0.5, 0.8), judge)
    assert len(found) == 2 and "None reaches 99.0." in judge.sentence(found, rung("trivial", right(0.4)))


def test_where_lower_is_better_a_target_is_met_from_above():
    judge = Judge(PERPLEXITY, target_score=9.0)
    rungs = [rung("s0", np.full((2, 5), 12.0), PERPLEXITY), rung("s1", np.full((2, 5), 8.0), PERPLEXITY)]
    assert not judge.enough(rungs[:1]) and judge.enough(rungs) == "s1 reaches 9.0"


def test_a_strategy_that_failed_is_stepped_over():
    rungs = [*ladder(0.5), Rung("broken", error="boom"), rung("s2", right(0.9))]
    judge, trivial = Judge(ACCURACY), rung("trivial", right(0.4))
    assert len(climbed(rungs, judge)) == 3
    assert judge.before(rungs, trivial).name == "s0" and judge.lightest(rungs).name == "s2"
    assert judge.sentence([Rung("broken", error="boom")], trivial) == "No strategy could be trained."


def test_a_later_one_that_fails_does_not_end_it_by_what_came_before():
    rungs = [*ladder(0.5, 0.5), Rung("broken", error="boom")]
    assert Judge(ACCURACY).enough(rungs) is None


def test_the_sentence_says_what_it_rests_on():
    trivial, judge = rung("trivial", right(0.4)), Judge(ACCURACY)
    alone = judge.sentence(ladder(0.5, 0.9), trivial)
    assert alone.startswith(
        "s1 is the lightest strategy that is not worse than the best: it is itself the best"
    )
    noisy = judge.sentence(ladder(0.80, 0.82), trivial)
    assert noisy.startswith("s0 is the lightest") and "s1, the best, is 2.0 points better" in noisy
    assert "trivial" not in noisy and "trivial baseline either" in judge.sentence(ladder(0.41), trivial)
    assert "One seed was run" in judge.sentence([rung("s0", right(0.8, seeds=1))], trivial)


scores = st.lists(
    st.lists(st.lists(st.integers(0, 4), min_size=6, max_size=6), min_size=2, max_size=2),
    min_size=1,
    max_size=5,
)


@given(scores, st.sampled_from([ACCURACY, PERPLEXITY]))
@settings(max_examples=150)
def test_the_named_one_is_not_worse_than_the_best_beyond_noise_and_all_lighter_ones_are(drawn, head):
    judge = Judge(head)
    rungs = [rung(f"s{number}", np.array(values) / 4, head) for number, values in enumerate(drawn)]
    best, named = judge.best(rungs), judge.lightest(rungs)
    sign = 1 if head.higher_is_better else -1
    assert all(sign * best.values.mean() >= sign * each.values.mean() - 1e-12 for each in rungs)
    assert named is best or seed_interval(sign * (best.values - named.values)).low <= 0
    for lighter in rungs[: rungs.index(named)]:
        assert seed_interval(sign * (best.values - lighter.values)).low > 0


@given(scores, st.one_of(st.none(), st.floats(0, 1)))
@settings(max_examples=150)
def test_nothing_is_run_after_a_stop_and_the_order_is_kept(drawn, target_score):
    judge = Judge(ACCURACY, target_score)
    rungs = [rung(f"s{number}", np.array(values) / 4) for number, values in enumerate(drawn)]
    found = climbed(rungs, judge)
    assert found == rungs[: len(found)]
    assert all(judge.enough(found[:count]) is None for count in range(1, len(found)))
    if len(found) < len(rungs):
        last, before = found[-1], found[-2] if len(found) > 1 else None
        if target_score is None:
            assert seed_interval(last.values - before.values).low <= 0
        else:
            assert last.values.mean() >= target_score


def test_a_share_s_interval_ends_at_all_of_it():
    near = rung("s0", [[1.0] * 9 + [0.0], [1.0] * 10, [1.0] * 10])
    assert seed_interval(near.values).high > 1.0 and Judge(ACCURACY).score(near).high == 1.0


# The learning rate


@pytest.mark.parametrize(
    ("tried", "higher", "chosen"),
    [
        ({1e-4: 0.7, 3e-4: 0.8, 1e-3: 0.75}, True, 3e-4),
        ({1e-4: 9.0, 3e-4: 8.0, 1e-3: 7.0}, False, 1e-3),
        ({1e-4: 0.8, 3e-4: 0.8, 1e-3: 0.8}, True, 3e-4),
        ({1e-4: 0.8, 9e-4: 0.8}, True, 1e-4),
    ],
)
def test_the_rate_with_the_best_validation_is_taken_and_of_equal_ones_the_nearest(tried, higher, chosen):
    assert chosen_rate(tried, 3e-4, higher) == chosen


def trainings(base, optimizer=None, **chosen):
    chosen = CompareSettings(**{"strategies": ["linear_probe", "lora"], "seeds": [3, 4], **chosen})
    return Trainings.of(prepare(base), chosen, optimizer or OptimizerSettings())


UNSEEN = Shown(lambda title, seed: TrainingHooks(), lambda title, run: None)


def test_tuning_goes_by_validation_and_never_by_test(tiny_base, monkeypatch):
    """The rate that is best on validation is worst on test here, and is taken."""

    def pretend(task, strategy, optimizer, hooks):
        rate = optimizer.learning_rate
        test = [1.0 if rate < 1e-3 else 0.0] * len(task.rows["test"])
        return None, Outcome([], {"accuracy": test[0]}, test, validation={"accuracy": rate})

    monkeypatch.setattr("tlplug.training.outcome_cache.adapt", pretend)
    found = trainings(tiny_base, tune_learning_rate=True, learning_rate_factors=[0.5, 1.0, 4.0]).run(
        "lora", strategy("lora"), UNSEEN
    )
    assert found.rate == pytest.approx(2e-3) and list(found.tried) == pytest.approx([2.5e-4, 5e-4, 2e-3])
    assert [run.outcome.scores["accuracy"] for run in found.runs] == [0.0, 0.0]


def test_tuning_without_a_validation_score_is_an_error_of_that_strategy(tiny_base, monkeypatch):
    outcome = Outcome([], {"accuracy": 1.0}, [1.0, 1.0])
    monkeypatch.setattr("tlplug.training.outcome_cache.adapt", lambda *args: (None, outcome))
    found = trainings(tiny_base, tune_learning_rate=True).run("lora", strategy("lora"), UNSEEN)
    assert "last validation, and there was none" in found.error


def test_seeds_share_the_rows_and_differ_in_their_order(tiny_base):
    found = trainings(tiny_base)
    first, second = (outcomes.task.data for outcomes in found.seeds.values())
    assert first.features == second.features
    ids = [[id for batch in data.train_batches() for id in batch["id"].tolist()] for data in (first, second)]
    assert ids[0] != ids[1] and sorted(ids[0]) == sorted(ids[1])


def test_a_training_of_a_comparison_is_that_of_a_run_with_its_seed(tiny_base):
    found = trainings(tiny_base, seeds=[5]).run("lora", strategy("lora"), UNSEEN)
    _, alone = adapt(prepare(tiny_base, seed=5), strategy("lora"), OptimizerSettings())
    assert found.runs[0].outcome.predictions == alone.predictions


# What it expects


class Count(Callback):
    def __init__(self):
        self.trained = self.evaluated = 0

    def on_train_batch_end(self, *args):
        self.trained += 1

    def on_validation_batch_end(self, *args):
        self.evaluated += 1

    on_test_batch_end = on_validation_batch_end


@pytest.mark.parametrize(
    "changed",
    [
        {},
        {"max_epochs": 3},
        {"max_epochs": 2, "limit_train_batches": 2, "limit_val_batches": 0},
        {"max_epochs": 2, "max_steps": 4, "limit_test_batches": 1},
        {"max_epochs": 2, "check_val_every_n_epoch": 2},
        {"max_epochs": 2, "limit_train_batches": 2, "accumulate_grad_batches": 2},
    ],
)
def test_batches_are_counted_as_they_are_run(tiny_base, changed):
    task, seen = prepare(tiny_base, trainer=replace(QUICK, **changed)), Count()
    adapt(task, strategy("linear_probe"), OptimizerSettings(), TrainingHooks(callbacks=[seen]))
    found = batches_of(task, 1)
    assert (found.train, found.evaluated) == (seen.trained, seen.evaluated)


def test_the_frozen_part_is_expected_once_whatever_the_epochs_and_seeds():
    timing = Timing(1.0, 0.01, 0.01, 2.0, 100.0, 1, 2, 1)
    few, many = (Estimate("probe", count, timing, Batches(100 * count, 10, 30)) for count in (1, 5))
    assert few.once == many.once == 60.0
    assert many.seconds - many.once == pytest.approx(5 * many.training)
    assert replace(few, timing=replace(timing, prefix=None)).once == 0.0


def test_a_step_is_tried_and_nothing_is_left(tiny_base):
    task = prepare(tiny_base)
    before = sorted(cache.cache_folder().rglob("*"))
    probe, lora = (timed(task, strategy(name), OptimizerSettings()) for name in ("linear_probe", "lora"))
    assert probe.prefix > 0 and lora.prefix is None
    assert 0 < probe.trainable < lora.trainable < lora.total
    assert min(probe.step, lora.step, probe.predict, lora.predict, lora.memory_mb) > 0
    assert sorted(cache.cache_folder().rglob("*")) == before


def test_what_moves_is_what_is_trained(tiny_base):
    task = prepare(tiny_base)
    _, outcome = adapt(task, strategy("lora"), OptimizerSettings())
    found = timed(task, strategy("lora"), OptimizerSettings())
    cost = outcome.cost
    assert (found.trainable, found.total) == (cost["trainable_parameters"], cost["total_parameters"])


def test_of_a_frozen_part_that_is_kept_the_step_and_the_prediction_are_timed_without_it(tiny_base):
    """The trunk takes a tenth of a second here."""
    probe = strategy("linear_probe")
    adapted = probe.adapt

    def slow(model, context):
        found = adapted(model, context)
        found.prefix.trunk.register_forward_hook(lambda *args: time.sleep(0.1))
        return found

    probe.adapt = slow
    found = timed(prepare(tiny_base), probe, OptimizerSettings())
    assert max(found.step, found.predict) < 0.1 < found.prefix + 0.03
    uncached = strategy("linear_probe", cache=False)
    adapted, uncached.adapt = uncached.adapt, slow
    found = timed(prepare(tiny_base), uncached, OptimizerSettings())
    assert min(found.step, found.predict) > 0.1 and found.prefix is None


def test_what_is_in_the_cache_is_not_loaded_again(tiny_base, monkeypatch):
    found = trainings(tiny_base)
    found.run("lora", strategy("lora"), UNSEEN)
    monkeypatch.setattr(
        "tlplug.commands.compare.estimate.timed", lambda *args: pytest.fail("it was tried again")
    )
    assert [each.trainings for each in estimates({"lora": strategy("lora")}, found)] == [0]


def test_settings_of_no_use_are_all_told_before_anything_is_trained(tiny_base):
    wrong = {name: strategy("lora", target_modules=[name]) for name in ("nowhere", "elsewhere")}
    with pytest.raises(UsageError) as error:
        estimates(wrong, trainings(tiny_base))
    assert [line.partition(":")[0] for line in str(error.value).splitlines()] == list(wrong)


@pytest.mark.parametrize(
    ("seconds", "told"),
    [(0.04, "0.0 s"), (4.25, "4.2 s"), (45, "45 s"), (150, "2.5 min"), (1800, "30 min"), (9000, "2.5 h")],
)
def test_durations(seconds, told):
    assert duration(seconds) == told


# What it shows


def result(rungs, head=ACCURACY, **more):
    judge, trivial = Judge(head), rung("trivial", right(0.4), head)
    strategies = []
    for number, each in enumerate(rungs):
        found = {"name": each.name, "error": each.error, "learning_rate": 1e-3, "learning_rates": []}
        if each.error is None:
            best = judge.best(rungs)
            found |= figures(each, judge) | {
                "gain": spread(judge.gain(each, judge.before(rungs[: number + 1], trivial))),
                "gap_to_best": None if each is best else spread(judge.gain(best, each)),
                **{"trainable_parameters": 5, "total_parameters": 100, "seconds": 3.0, "peak_memory_mb": 9.0},
            }
        strategies.append(found)
    done = finished(rungs)
    return {
        **{
            "task": "a <task>",
            "head": "h",
            "base_model": "b",
            "primary_score": head.primary_score,
            "display_scale": head.display_scale,
        },
        **{
            "higher_is_better": head.higher_is_better,
            "test_rows": 100,
            "seeds": [0, 1, 2],
            "target_score": None,
        },
        "trivial": figures(trivial, judge),
        "strategies": strategies,
        **{"skipped": [], "stop_reason": None, "versions": {"tlplug": "2.0.1"}},
        "best": judge.best(rungs).name if done else None,
        "lightest": judge.lightest(rungs).name if done else None,
        "summary": judge.sentence(rungs, trivial),
        "command": "python -m tlplug +strategy=x" if done else None,
        **more,
    }


def sample_comparison():
    """One with a long name, tuned rates, a failure and a target."""
    rungs = [
        *ladder(0.5, 0.7, 0.72),
        rung("gradual_unfreezing", right(0.75)),
        Rung("broken", error="boom " * 30),
    ]
    found = result(rungs, skipped=["full"], stop_reason="s2 gains nothing", target_score=0.72)
    for each in found["strategies"][:4]:
        tried = [{"learning_rate": rate, "validation": 0.5} for rate in (5e-4, 1e-3)]
        each["learning_rates"] = tried
    return found


class Outline(HTMLParser):
    """Every opened element is closed, in order."""

    def __init__(self):
        super().__init__()
        self.open, self.tags, self.text = [], [], ""

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        if tag not in ("meta", "link", "wbr"):
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data


@pytest.mark.parametrize(
    "found",
    [
        result(ladder(0.5, 0.7, 0.72)),
        result(ladder(0.5), skipped=["full", "lora"], stop_reason="s0 reaches 40.0", target_score=0.4),
        result([*ladder(0.5), Rung("broken", error="ValueError: <b>")]),
        result([Rung("broken", error="boom")]),
        result([rung("s0", np.full((3, 100), 30.0), PERPLEXITY)], PERPLEXITY),
    ],
    ids=["three", "stopped", "failed", "all failed", "perplexity"],
)
def test_the_page_is_one_whole_file_that_asks_for_nothing(found):
    text = page(make_report(found))
    outline = Outline()
    outline.feed(text)
    assert outline.open == [] and not re.search(r"https?://|<script|url\((?!#)|@import|src=|nan", text)
    ids = [attributes["id"] for _, attributes in outline.tags if "id" in attributes]
    assert len(ids) == len(set(ids)) and set(re.findall(r"url\(#([^)]+)\)", text)) <= set(ids)
    charts = [attributes for tag, attributes in outline.tags if tag == "svg"]
    assert len(charts) == bool(found["lightest"]) + any(
        each.get("gap_to_best") for each in found["strategies"]
    )
    assert all(a["role"] == "img" and len(a["aria-label"]) > 30 for a in charts)
    assert "<task>" not in text and "a <task>" in outline.text and "<b>" not in text
    for each in found["strategies"]:
        assert each["name"] in outline.text and (each["error"] or "") in outline.text
    assert found["summary"] in outline.text and (found["command"] or "") in outline.text
    for expected in [*found["skipped"], "trivial", "2.0.1", "0, 1, 2", "100 test rows"]:
        assert expected in outline.text
    assert json.loads(json.dumps(found)) == found


@pytest.mark.parametrize("tried", [[], [{"learning_rate": 1e-3, "validation": 0.5}]])
def test_every_column_of_the_page_has_its_head_and_its_cells(tried):
    found = result(ladder(0.5, 0.7))
    found["strategies"][1]["learning_rates"] = tried
    rows = re.findall(r"<tr.*?</tr>", page(make_report(found)), re.DOTALL)
    heads, trivial, *others = (re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row) for row in rows[:4])
    assert heads == ["", "accuracy", "gain", "trainable", "MB", "time", *(["rate"] if tried else [])]
    assert len(trivial) == len(heads) and trivial[:2] == ["trivial", "40.0 ±9.8"]
    assert all(len(cells) == len(heads) and all(cells) for cells in others)
    assert others[1][0] == "s1" and others[1][3:6] == ["5.0%", "9", "3.0 s"]
    assert 'class="own"' in rows[3] and "own" not in "".join(rows[:3])


def chart_of(found, name):
    """The chart of a section, its SVG, and the places of the dots in it with what they are."""
    (section,) = [each for each in make_report(found).sections if each.name == name]
    (chart,) = [each for each in section.blocks if isinstance(each, Chart)]
    svg = chart.draw()
    dots = [use for use in re.findall(r"<use [^>]*>", svg) if "stroke-width: 2.5" in use]
    return chart, svg, [float(re.search(r' x="([^"]+)"', dot)[1]) for dot in dots], dots


def test_marks_stand_where_the_scores_are():
    chart, svg, (trivial, first, second), dots = chart_of(result(ladder(0.5, 0.9)), "scores")
    assert trivial < first < second and (first - trivial) * 4 == pytest.approx(second - first, rel=0.02)
    assert ["taken" in dot for dot in dots] == [False, False, True]
    assert "s1 90.0 (84.0 to 96.0)" in chart.told and chart.told in unescape(svg)


def test_the_target_is_a_line_among_the_scores():
    def dashed(svg):
        return re.findall(r'<path d="M ([\d.]+) [^"]*"[^>]*stroke-dasharray', svg)

    assert dashed(chart_of(result(ladder(0.5, 0.9)), "scores")[1]) == []
    _, svg, (_, first, second), _ = chart_of(result(ladder(0.5, 0.9), target_score=0.7), "scores")
    (line,) = map(float, dashed(svg))
    assert line == pytest.approx((first + second) / 2, abs=0.5)


def test_what_the_others_lack_to_the_best_is_drawn_and_listed():
    chart, _, (first, second), dots = chart_of(result(ladder(0.5, 0.88, 0.9)), "gaps")
    assert first > second
    assert [re.search(r"fill: var\(--(\w+)\)", dot)[1] for dot in dots] == ["mark", "paper"]
    assert [row[:2] for row in chart.data.rows] == [["s0", "+40.0"], ["s1", "+2.0"]]
    assert "s2, the best, is better than s0 by +40.0" in chart.told
    assert "gaps" not in {each.name for each in make_report(result(ladder(0.5))).sections}


def test_the_learning_rates_that_were_tried_are_listed_with_the_one_that_was_taken():
    found = result(ladder(0.5))
    assert "rates" not in {each.name for each in make_report(found).sections}
    tried = [{"learning_rate": 1e-3, "validation": 0.5}, {"learning_rate": 2e-3, "validation": 0.4}]
    found["strategies"][0]["learning_rates"] = tried
    (section,) = [each for each in make_report(found).sections if each.name == "rates"]
    assert section.blocks[0].rows == [["s0", "0.001", "50.0", "taken"], ["s0", "0.002", "40.0", ""]]


def test_the_markdown_has_all_that_the_page_has_in_words():
    broken = Rung("broken", error="ValueError: <b>")
    found = result([*ladder(0.5, 0.7), broken], skipped=["full"], stop_reason="s1 is enough")
    text = markdown(make_report(found)).replace("\\", "")
    for words in (found["summary"], found["command"], "broken failed: ValueError: <b>", "full was not run"):
        assert words in text
    assert "| **s1** | **70.0 ±9.1** | **+20.0 ±8.0** | **5.0%** | **9** | **3.0 s** |" in text
