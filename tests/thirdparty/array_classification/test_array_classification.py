import importlib

import numpy
import pytest
import torch
from transformers import AutoModel, ViTConfig

from tlplug.testing import head_checks

SIZES = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}


def vision_model(folder):
    """Save a tiny vision transformer with random weights and no processor."""
    torch.manual_seed(0)
    AutoModel.from_config(ViTConfig(image_size=16, patch_size=4, **SIZES)).save_pretrained(folder)
    return folder


def rows(count, seed=0):
    """Arrays of 3 x 16 x 16 numbers; their upper or their lower half is brighter."""
    draw, found = numpy.random.default_rng(seed), []
    for number in range(count):
        image = draw.normal(scale=0.5, size=(3, 16, 16))
        image[:, slice(0, 8) if number % 2 else slice(8, 16)] += 1.0
        found.append({"image": image.round(2).tolist(), "label": ("lower", "upper")[number % 2]})
    return found


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return str(vision_model(tmp_path_factory.mktemp("vit")))


@pytest.mark.parametrize("check", head_checks(), ids=str)
def test_conformance(check, folder):
    # Asked for by its name each time: another test may have loaded the module anew.
    check(importlib.import_module("array_classification").ArrayClassification, rows=eight, base=folder)


def eight():
    return rows(8)
