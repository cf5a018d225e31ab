"""Rows that come twice or in parts are scored once, whole and in their order."""

import pytest

from tests.conftest import make_rows
from tlplug.interfaces.registry import Registry
from tlplug.models.predict import order_outputs
from tlplug.settings import OptimizerSettings
from tlplug.training.module import BoundTask, TransferModule


class Repeats:
    """Stands for the other process: its rows are this one's again."""

    def __call__(self, items):
        return items + items[:2]


def test_rows_that_come_twice_count_once(monkeypatch):
    head = Registry().find("head", "classification").load()().with_state({"labels": ["negative", "positive"]})
    rows = make_rows(5)
    module = TransferModule.__new__(TransferModule)
    logged = {}
    monkeypatch.setattr("tlplug.training.module.gather", Repeats())
    TransferModule.__init__(module, None, None, BoundTask(head, None, {"test": rows}), OptimizerSettings(), 1)
    monkeypatch.setattr(module, "log_dict", lambda values, **options: logged.update(values))
    right = {"negative": [0.9, 0.1], "positive": [0.1, 0.9]}
    module._outputs = [{"id": row["id"], "output": right[row["label"]]} for row in reversed(rows)]
    module._outputs[0]["output"] = [0.6, 0.4] if rows[-1]["label"] == "positive" else [0.4, 0.6]
    module._score("test")
    assert [p["id"] for p in module.predictions["test"]] == [0, 1, 2, 3, 4]
    assert logged["test/accuracy"] == pytest.approx(4 / 5)
    assert module._outputs == []


def test_parts_of_a_row_come_together_in_their_order():
    outputs = [{"id": 2, "part": 1}, {"id": 0, "part": 0}, {"id": 2, "part": 0}, {"id": 2, "part": 1}]
    found, rows = order_outputs(outputs, [{"id": 0}, {"id": 1}, {"id": 2}])
    assert found == [{"id": 0, "part": 0}, {"id": 2, "part": 0}, {"id": 2, "part": 1}]
    assert rows == [{"id": 0}, {"id": 2}]
