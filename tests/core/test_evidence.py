import json

import numpy as np
import pytest

from tlplug import evidence
from tlplug.contracts import Outcome


def outcomes():
    run = Outcome(
        [{"id": 4, "prediction": "a"}, {"id": 9, "prediction": "b"}],
        {"accuracy": 0.5},
        [1.0, 0.0],
        {"seconds": 2.0},
    )
    other = Outcome(
        [{"id": 4, "prediction": "b"}, {"id": 9, "prediction": "b"}], {"accuracy": 1.0}, [1.0, 1.0]
    )
    return run, {"scratch": other}


def test_what_is_written_comes_back(tmp_path):
    collected = evidence.collect(*outcomes())
    evidence.write(collected, tmp_path / "evidence")
    found = evidence.read(tmp_path / "evidence")
    assert set(found) == set(collected)
    np.testing.assert_array_equal(found["ids"], [4, 9])
    np.testing.assert_array_equal(found["example_scores/baseline/scratch"], [1.0, 1.0])
    assert found["example_scores/after"].dtype == np.float64
    assert found["predictions/after"] == collected["predictions/after"]
    assert found["cost"] == {"seconds": 2.0}


def test_another_version_of_the_format_is_refused(tmp_path):
    evidence.write(evidence.collect(*outcomes()), tmp_path / "evidence")
    index = tmp_path / "evidence" / "index.json"
    index.write_text(json.dumps({**json.loads(index.read_text()), "version": 99}))
    with pytest.raises(ValueError, match="version 99"):
        evidence.read(tmp_path / "evidence")
