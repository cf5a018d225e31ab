"""Evidence: what is collected of outcomes, and how it lies in a folder."""

import json
from pathlib import Path

import numpy as np
import pytest

from tlplug import NotMeasured, TransferMetric
from tlplug.evaluation import evidence
from tlplug.evaluation.compute_metrics import measure
from tlplug.interfaces import Outcome
from tlplug.interfaces.registry import Registry

HEAD = Registry().find("head", "classification").load()().with_state({"labels": ["a", "b"]})
ROWS = [{"id": 9, "text": "x", "label": "b"}, {"id": 4, "text": "y", "label": "a"}]


def outcomes():
    run = Outcome(
        [{"id": 4, "prediction": "a"}, {"id": 9, "prediction": "b"}],
        {"accuracy": 0.5},
        [1.0, 0.0],
        {"seconds": 2.0},
        curve=[[8, 0.25], [16, 0.5]],
    )
    other = Outcome(
        [{"id": 4, "prediction": "b"}, {"id": 9, "prediction": "b"}], {"accuracy": 1.0}, [1.0, 1.0]
    )
    return run, {"scratch": other}


def collected(**more):
    return evidence.collect(*outcomes(), HEAD, ROWS, **more)


def test_targets_stand_in_the_order_of_the_predictions():
    found = collected()
    assert found["targets"] == [{"label": "a"}, {"label": "b"}]
    np.testing.assert_array_equal(found["curve/after"], [[8, 0.25], [16, 0.5]])
    assert "curve/baseline/scratch" not in found, "it was never validated"
    assert (found["labels"], found["primary_score"], found["display_scale"]) == (["a", "b"], "accuracy", 100)


def test_a_baseline_that_trains_nothing_is_the_base_model_as_it_is():
    assert "predictions/before" not in collected()
    found = collected(untrained=["scratch"])
    assert found["predictions/before"] == found["predictions/baseline/scratch"]
    np.testing.assert_array_equal(found["example_scores/before"], [1.0, 1.0])


def test_what_is_written_comes_back(tmp_path: Path):
    known = {**collected(), "features/before": np.ones((2, 3, 4), np.float32)[:, ::-1]}
    evidence.write(known, tmp_path / "evidence")
    found = evidence.read(tmp_path / "evidence")
    assert set(found) == set(known)
    np.testing.assert_array_equal(found["ids"], [4, 9])
    np.testing.assert_array_equal(found["example_scores/baseline/scratch"], [1.0, 1.0])
    assert found["example_scores/after"].dtype == np.float64
    assert found["features/before"].shape == (2, 3, 4) and found["features/before"].dtype == np.float32
    assert found["predictions/after"] == known["predictions/after"]
    assert found["cost"] == {"seconds": 2.0}


def test_a_write_that_fails_leaves_nothing(tmp_path: Path):
    with pytest.raises(TypeError):
        evidence.write({**collected(), "odd": {1, 2}}, tmp_path / "evidence")
    assert list(tmp_path.iterdir()) == []


def test_another_version_of_the_format_is_refused(tmp_path: Path):
    evidence.write(collected(), tmp_path / "evidence")
    index = tmp_path / "evidence" / "index.json"
    index.write_text(json.dumps({**json.loads(index.read_text()), "version": 99}))
    with pytest.raises(ValueError, match="version 99"):
        evidence.read(tmp_path / "evidence")


class Half(TransferMetric):
    requires = frozenset({"features/before"})

    def measure(self, evidence):
        return {"one": 1, "other": NotMeasured("there is a single row")}


def test_single_values_may_not_be_measured():
    found = measure({"half": Half()}, {"features/before": np.ones(1)})
    assert found == {"half": {"one": 1.0, "other": {"not_measured": "there is a single row"}}}


def test_the_reason_for_missing_evidence_is_the_one_that_was_written_down():
    known = {"reasons": {"features/before": "evidence.max_rows=0"}}
    assert measure({"half": Half()}, known) == {"half": {"not_measured": "evidence.max_rows=0"}}
    assert "features/before" in measure({"half": Half()}, {})["half"]["not_measured"]
