"""What W&B is told of a result."""

import logging
from pathlib import Path

import pytest
from lightning.pytorch.loggers import WandbLogger

from tlplug import loggers

RESULT = {
    "strategy": "lora",
    "scores": {"accuracy": 0.8, "mcc": 0.6},
    "baselines": {"scratch": {"accuracy": 0.5}},
    "comparisons": {},
    "metrics": {
        "cka": {"mean": 0.9, "layer/1": {"not_measured": "constant"}},
        "nll": {"not_measured": "no text"},
    },
    "verdict": {"label": "positive"},
    "cost": None,
}


def test_values_are_flat_by_the_path_of_their_keys():
    assert loggers.flat({"a": {"b": 1, "c/d": {"e": 2}}, "f": None}) == {"a/b": 1, "a/c/d/e": 2, "f": None}


def test_tables_have_every_score_and_every_value_or_its_reason():
    pytest.importorskip("wandb")
    found = loggers.tables(RESULT)
    assert found["scores"].data == [["lora", 0.8, 0.6], ["scratch", 0.5, None]]
    assert found["metrics"].data == [
        ["cka/mean", 0.9, ""],
        ["cka/layer/1", None, "constant"],
        ["nll", None, "no text"],
    ]


def test_a_service_that_is_away_costs_a_warning(tmp_path: Path, caplog, monkeypatch):
    class Away(WandbLogger):
        def __init__(self):
            pass

        @property
        def experiment(self):
            raise ConnectionError("no route")

    with caplog.at_level(logging.WARNING):
        loggers.tell([Away()], RESULT, dict, tmp_path / "report.html")
    assert "W&B was not told the result (ConnectionError: no route)" in caplog.text
