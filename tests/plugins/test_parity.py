"""tlplug's training is transformers' Trainer's, step by step: dropout off, one order, one set of weights."""

import pytest

from bench.settings import Settings
from bench.trainer.loss_curves import FIELDS, TOLERANCE, compare_one, without_dropout
from tests.cli.runs import tiny_words

SETTINGS = Settings(rows=48, max_length=64, batch_size=4)


@pytest.fixture(scope="module")
def words(tiny_folder, rows_folder, tmp_path_factory):
    base = without_dropout(tiny_folder, tmp_path_factory.mktemp("parity") / "base")
    return tiny_words(base, rows_folder)[1:]


@pytest.mark.parametrize("name", FIELDS)
def test_each_step_s_loss_is_the_trainer_s(words, name):
    found = compare_one(name, SETTINGS, words)
    assert len(found["tlplug"]) == len(found["trainer"]) == SETTINGS.steps() == 12
    assert found["tlplug"] == pytest.approx(found["trainer"], abs=TOLERANCE)


@pytest.mark.parametrize("name", FIELDS)
def test_the_comparison_sees_another_learning_rate(words, name, monkeypatch):
    from bench.trainer import loss_curves

    same = loss_curves.arguments
    monkeypatch.setattr(
        loss_curves,
        "arguments",
        lambda *a, **k: same(*a, **(k | {"learning_rate": 1.1 * k["learning_rate"]})),
    )
    assert not compare_one(name, SETTINGS, words)["agree"]
