"""Baselines: cached by all that determines them, and equal whether cached or not."""

import copy
from dataclasses import replace

import pytest

from tests.training.sample_tasks import QUICK, prepare, strategy
from tlplug.runtime import cache
from tlplug.settings import OptimizerSettings
from tlplug.training.fit import TrainingHooks, adapt
from tlplug.training.outcome_cache import KIND, Outcomes


def baseline(task, name):
    """A baseline as a run has it: from the cache where it is there."""
    outcomes, own = Outcomes(task), OptimizerSettings()
    return outcomes.stored(strategy(name), own) or outcomes.train(strategy(name), own, TrainingHooks())


def test_the_second_run_takes_the_first_one_s_result(tiny_base, monkeypatch):
    first = baseline(prepare(tiny_base), "scratch")
    monkeypatch.setattr(
        "tlplug.training.outcome_cache.adapt", lambda *args, **kwargs: pytest.fail("it was trained again")
    )
    assert baseline(prepare(tiny_base), "scratch") == first


def test_a_cached_baseline_is_what_training_it_alone_gives(tiny_base):
    """Nothing that ran before in the process, and no order of runs, changes a baseline."""
    task = prepare(tiny_base)
    baseline(task, "linear_probe")
    cached = baseline(task, "scratch")
    _, alone = adapt(prepare(tiny_base), strategy("scratch"), OptimizerSettings())
    assert (cached.scores, cached.predictions) == (alone.scores, alone.predictions)


def test_the_key_changes_with_each_thing_that_determines_the_result(tiny_base):
    deeper = copy.deepcopy(tiny_base.config)
    deeper.num_hidden_layers += 1
    keys = {
        "as it is": key(prepare(tiny_base)),
        "seed": key(prepare(tiny_base, seed=4)),
        "rows": key(prepare(tiny_base, train=23)),
        "batch size": key(prepare(tiny_base, batch_size=4)),
        "epochs": key(prepare(tiny_base, trainer=replace(QUICK, max_epochs=2))),
        "architecture": key(replace(prepare(tiny_base), base=replace(tiny_base, config=deeper))),
        "strategy": key(prepare(tiny_base), "linear_probe"),
        "field": key(prepare(tiny_base), "lora"),
        "other field": key(prepare(tiny_base), "lora", r=2),
        "learning rate": key(prepare(tiny_base), optimizer=OptimizerSettings(learning_rate=1e-4)),
        "processes": key(prepare(tiny_base, trainer=replace(QUICK, devices=2))),
    }
    assert len(set(keys.values())) == len(keys)
    assert key(prepare(tiny_base)) == keys["as it is"]


def test_other_weights_are_another_training_but_for_one_from_random_weights(tiny_base):
    others = replace(prepare(tiny_base), base=replace(tiny_base, fingerprint="others"))
    assert key(others, "lora") != key(prepare(tiny_base), "lora")
    assert key(others) == key(prepare(tiny_base))


def test_a_rate_that_is_the_strategy_s_own_is_no_other_training(tiny_base):
    task = prepare(tiny_base)
    own = OptimizerSettings(learning_rate=strategy("scratch").optimizer_defaults.learning_rate)
    assert key(task, optimizer=own) == key(task)


def key(task, name="scratch", optimizer=OptimizerSettings(), **fields):  # noqa: B008
    return Outcomes(task).key(strategy(name, **fields), optimizer)


def test_a_damaged_entry_is_made_again_and_said(tiny_base, caplog):
    task = prepare(tiny_base)
    first = baseline(task, "linear_probe")
    path = cache.cache_folder() / KIND / f"{key(task, 'linear_probe')}.json"
    path.write_text(path.read_text()[:40])
    again = baseline(task, "linear_probe")
    assert again.scores == first.scores and "is damaged" in caplog.text


def test_trivial_needs_no_training(tiny_base):
    found = Outcomes(prepare(tiny_base)).trivial()
    assert found.cost is None and len(found.predictions) == 11
    assert found.scores["accuracy"] == pytest.approx(6 / 11)  # ties go to the first label
