"""The hub's metadata at the top of an export's model card: what is known, and nothing else."""

from dataclasses import replace
from types import SimpleNamespace

import pytest
from jsonschema import validate

from tests.cli.fake_hub import CARD
from tlplug import LoadOptions, TransformersHead
from tlplug.interfaces.registry import Registry
from tlplug.runs.model_card import about, metadata
from tlplug.settings import DataSettings, DomainSettings, ModelSettings

SCORES = {"accuracy": 0.9, "macro_f1": 0.85}


def head(name):
    return Registry().find("head", name).load()()


def card(out, data=None, files=(), random_weights=False, license=None, on_disk=False, named="classification"):
    for name in files:
        (out / name).write_text("{}")
    options = LoadOptions(random_weights=random_weights)
    adapted = SimpleNamespace(
        run=SimpleNamespace(
            task="sentiment",
            strategy_name="lora",
            strategy=SimpleNamespace(load_options=lambda head: options),
            model=ModelSettings(license=license),
            data=data or DataSettings(path="owner/reviews"),
        ),
        head=head(named),
        base=SimpleNamespace(source="owner/base", path=str(out) if on_disk else "owner/base", kind="encoder"),
    )
    found = metadata(adapted, out, {"scores": SCORES}).to_dict()
    validate(found, CARD)
    return found


def test_an_adapter_of_a_base_model_on_the_hub(tmp_path):
    data = DataSettings(path="owner/reviews", subset="en", revision="main")
    found = card(tmp_path, data, files=["adapter_config.json", "config.json"], license="Apache-2.0")
    assert found.pop("model-index") == [
        {
            "name": "sentiment: lora on owner/base",
            "results": [
                {
                    "task": {"type": "text-classification"},
                    "dataset": {
                        **{"name": "owner/reviews", "type": "owner/reviews"},
                        **{"config": "en", "split": "test", "revision": "main"},
                    },
                    "metrics": [{"type": name, "value": value} for name, value in SCORES.items()],
                }
            ],
        }
    ]
    assert found == {
        "library_name": "peft",
        "tags": ["tlplug", "transfer-learning", "lora"],
        "pipeline_tag": "text-classification",
        "license": "apache-2.0",
        "base_model": "owner/base",
        "base_model_relation": "adapter",
        "datasets": ["owner/reviews"],
    }


def test_a_whole_model_is_a_finetune_of_its_base(tmp_path):
    found = card(tmp_path, files=["config.json"])
    assert (found["library_name"], found["base_model_relation"]) == ("transformers", "finetune")
    assert "license" not in found


@pytest.mark.parametrize("unknown", [{"random_weights": True}, {"on_disk": True}])
def test_without_weights_from_the_hub_no_base_model_is_named(tmp_path, unknown):
    assert not {"base_model", "base_model_relation"} & card(tmp_path, files=["config.json"], **unknown).keys()


def test_files_are_no_data_set_of_the_hub(tmp_path):
    (tmp_path / "my reviews.csv").touch()
    found = card(tmp_path, DataSettings(path=str(tmp_path / "my reviews.csv")))
    assert "datasets" not in found and "library_name" not in found
    tested = found["model-index"][0]["results"][0]["dataset"]
    assert tested == {"name": "my reviews.csv", "type": "my-reviews", "split": "test"}


def test_scores_on_another_domain_name_its_data(tmp_path):
    domain = DomainSettings(path="owner/products", test="validation")
    found = card(tmp_path, replace(DataSettings(path="owner/reviews"), target_domain=domain))
    assert found["datasets"] == ["owner/reviews"]
    tested = found["model-index"][0]["results"][0]["dataset"]
    assert tested == {"name": "owner/products", "type": "owner/products", "split": "validation"}


@pytest.mark.parametrize(("path", "says"), [(None, "of it"), ("owner/products", "of `owner/products`")])
def test_the_text_says_which_rows_were_scored(path, says):
    data = replace(DataSettings(path="owner/reviews"), target_domain=DomainSettings(path=path))
    run = SimpleNamespace(data=data, strategy_name="lora", task="sentiment", head_name="classification")
    cost = {"trainable_parameters": 1, "total_parameters": 4}
    text = about(
        SimpleNamespace(run=run, base=SimpleNamespace(source="owner/base")),
        {"cost": cost, "seed": 0, "test_rows": 7},
    )
    assert "1 of 4 weights were trained (25%). Data: `owner/reviews`" in text
    assert text.endswith(f"the scores are of the 7 test rows {says}.")


@pytest.mark.parametrize(
    ("name", "kind", "tag"),
    [
        ("classification", "encoder", "text-classification"),
        ("token_classification", "encoder", "token-classification"),
        ("question_answering", "encoder", "question-answering"),
        ("summarization", "encoder-decoder", "summarization"),
        ("instruction", "decoder", "text-generation"),
        ("language_modeling", "decoder", "text-generation"),
        ("language_modeling", "encoder", "fill-mask"),
    ],
)
def test_each_head_has_the_hub_s_name_of_its_task(name, kind, tag):
    assert head(name).pipeline_tag(SimpleNamespace(kind=kind)) == tag


def test_a_head_of_an_auto_class_has_the_task_of_its_pipeline():
    class Images(TransformersHead):
        auto_class = "AutoModelForImageClassification"

    class Choices(TransformersHead):
        auto_class = "AutoModelForMultipleChoice"

    assert Images().pipeline_tag(None) == "image-classification" and Choices().pipeline_tag(None) is None
