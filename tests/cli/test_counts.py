"""What runs compute, counted: no pass of the model, no padding and no import more than bench/counts/counts.json has."""

import json

import pytest

from bench.counts import __main__ as counts

STORED = json.loads(counts.FILE.read_text(encoding="utf-8"))
AGAIN = "python -m bench.counts writes the file anew, where the change is meant"


@pytest.mark.slow
def test_no_run_computes_more_than_it_did():
    assert counts.count_runs() == STORED["runs"], AGAIN


@pytest.mark.slow
def test_the_first_step_imports_no_more_packages_than_it_did():
    assert counts.count_packages() <= STORED["packages"], AGAIN


def test_what_is_stored_is_little_padding_and_nothing_twice():
    first, again, probe = STORED["runs"].values()
    # The training from scratch is the only other one: what the probe needs of the base model is looked at once.
    assert first["training passes"] == 2 * again["training passes"]
    assert first["training padding"] < 0.05 * first["training tokens"]
    assert set(again["kept"].values()) == set(probe["kept"].values()) == {0}
    assert "training passes" not in probe, "a frozen trunk was computed in training"
