"""tlplug's training is transformers' Trainer's, step by step: dropout off, one order, one set of weights."""

import pytest

from bench.settings import Settings
from bench.trainer.loss_curves import FIELDS, TOLERANCE, compare_one, prepare, without_dropout
from tlplug.data.read import read_splits
from tlplug.settings import DataSettings

SETTINGS = Settings(rows=48, max_length=64, batch_size=4)


@pytest.fixture(scope="module")
def task(tiny_folder, rows_folder, tmp_path_factory):
    source = DataSettings(path=str(rows_folder), columns={"text": "text", "label": "label"})
    rows = read_splits(source, {"text": "the sentence", "label": "its class"})
    base = without_dropout(tiny_folder, tmp_path_factory.mktemp("parity") / "base")
    return prepare(base, rows, SETTINGS)


@pytest.mark.parametrize("name", FIELDS)
def test_each_step_s_loss_is_the_trainer_s(task, name):
    found = compare_one(name, task, SETTINGS)
    assert len(found["tlplug"]) == len(found["trainer"]) == SETTINGS.steps() == 12
    assert found["tlplug"] == pytest.approx(found["trainer"], abs=TOLERANCE)


@pytest.mark.parametrize("name", FIELDS)
def test_the_comparison_sees_another_learning_rate(task, name, monkeypatch):
    from bench.trainer import loss_curves

    same = loss_curves.arguments
    monkeypatch.setattr(
        loss_curves,
        "arguments",
        lambda *a, **k: same(*a, **(k | {"learning_rate": 1.1 * k["learning_rate"]})),
    )
    assert not compare_one(name, task, SETTINGS)["agree"]
