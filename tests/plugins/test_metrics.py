import numpy as np
import pytest

from tlplug.evaluation.compute_metrics import measure
from tlplug.interfaces.registry import Registry

Cost = Registry().find("metric", "cost").load()
TransferGain = Registry().find("metric", "transfer_gain").load()
COST = {"trainable_parameters": 5, "total_parameters": 200, "seconds": 2.0}


def test_gain_and_error_reduction_by_hand():
    evidence = {
        "example_scores/after": np.array([1.0, 1.0, 1.0, 0.0]),
        "example_scores/baseline/trivial": np.array([1.0, 0.0, 1.0, 0.0]),
    }
    found = TransferGain().measure(evidence)
    assert found["trivial"] == 0.25
    assert found["trivial/error_reduction"] == pytest.approx(0.25 / 0.5)
    assert found["trivial/low"] == 0.0 and found["trivial/high"] == 0.75


def test_where_lower_scores_are_better_a_gain_is_a_fall():
    evidence = {
        "example_scores/after": np.array([20.0, 22.0, 21.0]),
        "example_scores/baseline/zero_shot": np.array([30.0, 31.0, 35.0]),
        "higher_is_better": False,
    }
    found = TransferGain().measure(evidence)
    assert set(found) == {"zero_shot", "zero_shot/low", "zero_shot/high"}
    assert found["zero_shot"] == pytest.approx(11.0)
    assert 9.0 <= found["zero_shot/low"] <= found["zero_shot"] <= found["zero_shot/high"] <= 14.0


def test_a_baseline_without_errors_has_no_error_reduction():
    perfect = {"example_scores/after": np.ones(3), "example_scores/baseline/scratch": np.ones(3)}
    assert set(TransferGain().measure(perfect)) == {"scratch", "scratch/low", "scratch/high"}


def test_the_interval_s_seed_and_size_are_fields():
    draw = np.random.default_rng(0)
    evidence = {
        "example_scores/after": draw.random(40),
        "example_scores/baseline/scratch": draw.random(40),
    }
    first = TransferGain(TransferGain.Config(seed=1)).measure(evidence)
    assert first == TransferGain(TransferGain.Config(seed=1)).measure(evidence)
    assert first != TransferGain(TransferGain.Config(seed=2)).measure(evidence)


def test_without_baselines_it_is_not_measured_and_says_why():
    found = measure({"transfer_gain": TransferGain()}, {"example_scores/after": np.ones(2)})
    assert "transfer.baselines is empty" in found["transfer_gain"]["not_measured"]


def test_missing_evidence_is_named():
    assert measure({"cost": Cost()}, {})["cost"] == {"not_measured": "no evidence of cost"}


def test_cost_adds_the_trainable_share_in_percent():
    assert Cost().measure({"cost": COST})["trainable_share"] == pytest.approx(2.5)


class Raises(Cost):
    def measure(self, evidence):
        raise KeyError("nothing there")


class NotFinite(Cost):
    def measure(self, evidence):
        return {"a": float("nan"), "b": 1}


def test_a_metric_that_fails_costs_only_itself():
    found = measure({"raises": Raises(), "cost": Cost()}, {"cost": COST})
    assert found["raises"]["not_measured"] == "it failed: KeyError: 'nothing there'"
    assert found["cost"]["seconds"] == 2.0


def test_what_is_not_finite_is_not_measured():
    found = measure({"odd": NotFinite()}, {"cost": COST})["odd"]
    assert found == {"a": {"not_measured": "it is nan"}, "b": 1.0}
