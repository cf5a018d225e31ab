"""Several processes train as one does."""

import os
import subprocess
import sys

import pytest
import torch
from safetensors.torch import load_file

from tests.conftest import ROOT
from tests.training.distributed_program import FIELDS, trained, without_dropout


@pytest.fixture(scope="module")
def calm_folder(tmp_path_factory, tiny_folder):
    return without_dropout(tiny_folder, tmp_path_factory.mktemp("calm-bert"))


@pytest.fixture(scope="module")
def of_two(tmp_path_factory, calm_folder):
    """What two processes, started by torchrun at the same moment over an empty cache, trained."""
    out = tmp_path_factory.mktemp("two")
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    done = subprocess.run(
        [*launcher, "-m", "tests.training.distributed_program", str(calm_folder), str(out)],
        env={**os.environ, "TLPLUG_CACHE": str(out / "cache")},
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return {path.stem: load_file(path) for path in out.glob("*.safetensors")}


@pytest.mark.slow
@pytest.mark.parametrize("name", list(FIELDS))
def test_two_processes_have_the_gradients_weights_and_scores_of_one(name, of_two, calm_folder):
    one = trained(name, calm_folder, 1)
    assert one.keys() == of_two[name].keys()
    two = of_two[name]
    apart = {key: float((two[key] - value).abs().max()) for key, value in one.items()}
    assert max(apart.values()) < 1e-6, apart
    assert torch.equal(two["score"], one["score"]), "11 rows over two processes: each counts once"


@pytest.mark.slow
def test_with_gradient_checkpointing_every_update_moves_in_two_processes(of_two):
    moved = {
        key: value for key, value in of_two["checkpointed"].items() if "weight" in key and "lora_B" in key
    }
    assert moved and all(value.any() for value in moved.values())


@pytest.mark.slow
def test_two_processes_over_an_empty_cache_encode_once(of_two):
    """Three splits, and the training rows of the run with checkpointing, which are fewer."""
    assert of_two["encoded"]["calls"].sum() == 4
