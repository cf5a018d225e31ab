"""Base models that read no texts: their processor, and what cuts texts is refused."""

import json

import numpy as np
import pytest
import torch
from PIL import Image

from tests.image_head import ImageHead
from tlplug import UsageError
from tlplug.data.feature_keys import key_of
from tlplug.data.features import encode
from tlplug.models.base_model import PREPROCESSOR, find_base
from tlplug.settings import ModelSettings


@pytest.fixture
def vision(tmp_path):
    """A tiny vision transformer with its image processor, as a user has one in a folder."""
    import transformers

    sizes = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
    torch.manual_seed(0)
    config = transformers.ViTConfig(image_size=8, patch_size=4, **sizes)
    transformers.ViTModel(config).save_pretrained(tmp_path)
    transformers.ViTImageProcessor(size={"height": 8, "width": 8}).save_pretrained(tmp_path)
    return tmp_path


def source(folder):
    return ModelSettings(source=str(folder))


def pictures(count=4):
    colors = [(250, 10, 10), (10, 10, 250)]
    return [
        {"id": n, "image": Image.new("RGB", (12, 9 + n), colors[n % 2]), "label": "rb"[n % 2]}
        for n in range(count)
    ]


def test_the_image_processor_is_loaded_where_there_is_one(vision):
    base = find_base(source(vision))
    assert "ImageProcessor" in type(base.processor).__name__
    assert not base.has_tokenizer and base.max_length is None and base.kind == "encoder"
    (vision / PREPROCESSOR).unlink()
    bare = find_base(source(vision))
    assert bare.processor is None and bare.max_length is None


def test_a_head_gives_it_pictures_and_the_key_knows_how_it_is_set(vision):
    base, rows = find_base(source(vision)), pictures()
    head = ImageHead().with_state({"labels": ["b", "r"]})
    features = encode(head, rows, base, True)
    assert [feature["pixel_values"].shape for feature in features] == [(3, 8, 8)] * 4
    assert [feature["labels"] for feature in features] == [1, 0, 1, 0]
    alone = head.encode(rows[1:2], base, False)[0]["pixel_values"]
    np.testing.assert_array_equal(features[1]["pixel_values"], alone)
    settings = json.loads((vision / PREPROCESSOR).read_text())
    (vision / PREPROCESSOR).write_text(json.dumps({**settings, "image_mean": [0.1, 0.1, 0.1]}))
    other = find_base(source(vision))
    assert key_of(head, rows, base, True) == features.key != key_of(head, rows, other, True)
    rows[3]["image"].putpixel((0, 0), (0, 0, 0))
    assert key_of(head, rows, base, True) != features.key


def test_a_longest_input_is_refused_where_no_texts_are_read(vision):
    with pytest.raises(UsageError, match=r"data\.max_length=64 cuts texts, and .* has no tokenizer"):
        find_base(source(vision), 64)
    (vision / PREPROCESSOR).unlink()
    with pytest.raises(UsageError, match=r"data\.max_length=64 cuts texts"):
        find_base(source(vision), 64)


def test_a_processor_that_cannot_be_made_is_an_error_that_names_its_file(vision):
    (vision / PREPROCESSOR).write_text("{")
    with pytest.raises(UsageError, match=f"{PREPROCESSOR}, cannot be loaded"):
        find_base(source(vision))


def test_a_base_model_without_a_processor_needs_a_head_that_gives_arrays(vision):
    (vision / PREPROCESSOR).unlink()
    base = find_base(source(vision))
    with pytest.raises(UsageError, match="has no processor: head ImageHead has to give dicts of arrays"):
        ImageHead().encode(pictures(), base, False)
