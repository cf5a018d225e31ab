import sys
from dataclasses import dataclass
from importlib.metadata import EntryPoint

import pytest

from tlplug import (
    EVIDENCE_NAMES,
    OptimizerSettings,
    PluginError,
    Strategy,
    TaskHead,
    TransferMetric,
    TransformersHead,
    UsageError,
)
from tlplug.interfaces.registry import GROUPS, KINDS, Registry, find_contract_errors, find_misspelt_names


def point(name, value, kind="strategy"):
    return EntryPoint(name, value, GROUPS[kind])


class Fine(Strategy):
    """Moves nothing."""

    contract = 1
    optimizer_defaults = OptimizerSettings(1e-3, 0.0, "linear", 0.0)

    def adapt(self, model, context):
        return model.requires_grad_(False)


class NoVersion(Fine):
    contract = None


class OtherVersion(Fine):
    contract = 7


class Frozen(Fine):
    @dataclass(frozen=True)
    class Config:
        rank: int = 1


class PlainConfig(Fine):
    class Config:
        rank = 1


class Unfinished(Strategy):
    contract = 1
    optimizer_defaults = Fine.optimizer_defaults


def test_listing_imports_nothing():
    found = Registry([point("theirs", "a_module_that_is_not_there:Theirs")])
    assert found.names("strategy") == ["theirs"]
    assert "a_module_that_is_not_there" not in sys.modules


def test_a_plugin_that_cannot_be_imported_is_an_error_that_names_both_sides():
    found = Registry([point("theirs", "a_module_that_is_not_there:Theirs")]).find("strategy", "theirs")
    with pytest.raises(
        PluginError, match=r"'theirs' \(a_module_that_is_not_there:Theirs, from .*ModuleNotFoundError"
    ):
        found.load()


def test_two_plugins_of_one_name_are_an_error_that_names_both():
    twice = Registry([point("theirs", "one:A"), point("theirs", "two:B")])
    with pytest.raises(PluginError, match="one:A.*two:B"):
        twice.find("strategy", "theirs")


def test_an_unknown_name_gets_the_nearest_one():
    with pytest.raises(UsageError, match="Did you mean 'theirs'"):
        Registry([point("theirs", "one:A")]).find("strategy", "thiers")


def test_a_class_is_usable_by_its_dotted_path():
    assert Registry([]).find("strategy", f"{__name__}.Fine").load() is Fine


@pytest.mark.parametrize(
    ("cls", "problem"),
    [
        (NoVersion, "declares no contract version"),
        (OtherVersion, "written for contract 7"),
        (Frozen, "frozen dataclass"),
        (PlainConfig, "not a dataclass"),
        (Unfinished, "does not define `adapt`"),
        (dict, "not a subclass of tlplug.Strategy"),
        (len, "not a subclass of tlplug.Strategy"),
    ],
)
def test_what_breaks_the_contract_is_told_at_registration(cls, problem):
    assert any(problem in sentence for sentence in find_contract_errors(cls, "strategy"))


class Distance(TransferMetric):
    """Reads features."""

    contract = 1
    requires = frozenset({"features/before", "features/aftr"})

    def measure(self, evidence):
        return {}


def requiring(*names, **members):
    return type("Made", (Distance,), {"requires": frozenset(names), **members})


@pytest.mark.parametrize("name", EVIDENCE_NAMES)
def test_every_name_of_evidence_can_be_required(name):
    own = requiring(
        name.replace("<baseline>", "scratch").replace("<rows>", "swapped").replace("<metric>", "mine"),
        extra_rows=lambda self, context: {},
        weight_change=lambda self, change: {},
    )
    assert list(find_contract_errors(own, "metric", "mine")) == []


@pytest.mark.parametrize(
    ("kind", "defined", "meant"),
    [
        ("head", {"anwser": None}, "answer"),
        ("head", {"trivial_prediction": None}, "trivial_predictions"),
        ("head", {"Confg": None}, "Config"),
        ("strategy", {"frozen_prefx": None}, "frozen_prefix"),
        ("metric", {"__annotations__": {"requries": set}}, "requires"),
        ("head", {"answer": None, "answers": None}, None),
        ("head", {"_anwser": None, "helper": None, "is_question": None}, None),
    ],
)
def test_a_name_that_is_a_letter_off_one_of_the_contract_is_told(kind, defined, meant):
    base = TransformersHead if kind == "head" else KINDS[kind]
    name = next(iter(defined.get("__annotations__", defined)))
    sentences = list(find_misspelt_names(type("Mine", (type("Theirs", (base,), defined),), {}), kind))
    told = f"it defines {name!r}, which the contract does not have. Did you mean {meant!r}?"
    assert sentences == ([told] if meant else [])


def test_helpers_of_the_built_in_plugins_are_no_misspelt_names():
    plugins = Registry().plugins
    assert len(plugins) > 40
    assert [told for plugin in plugins for told in find_misspelt_names(plugin.load(), plugin.kind)] == []


def test_a_method_that_is_missing_is_told_with_the_one_that_is_misspelt():
    class Mine(TaskHead):
        contract = 1

        def ecnode(self, rows, base, training): ...

    told = list(find_contract_errors(Mine, "head"))
    assert "it does not define `encode`" in told
    assert "it defines 'ecnode', which the contract does not have. Did you mean 'encode'?" in told


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("featurs/before", "features/before"),
        ("example_score/after", "example_scores/after"),
        ("curve/baselin", "curve/baseline/<baseline>"),
        ("features/before/sorce", "features/before/source"),
        ("weights/others", "weights/mine"),
    ],
)
def test_evidence_that_can_never_exist_is_told_with_the_nearest_name(name, near):
    (sentence,) = find_contract_errors(requiring(name), "metric", "mine")
    assert f"it requires {name!r}, which is no name of evidence." in sentence
    assert f"Did you mean {near!r}?" in sentence


def test_a_metric_that_notes_nothing_of_weights_cannot_require_its_notes():
    (sentence,) = find_contract_errors(requiring("weights/mine"), "metric", "mine")
    assert "defines no `weight_change`" in sentence


def test_a_metric_that_requires_it_is_refused_when_it_is_selected():
    found = Registry([point("distance", f"{__name__}:Distance", "metric")]).find("metric", "distance")
    with pytest.raises(
        PluginError, match=r"(?s)'distance' \(.*requires 'features/aftr'.*mean 'features/after'"
    ):
        found.load()


def test_a_set_of_letters_is_no_set_of_names():
    (sentence,) = find_contract_errors(requiring(requires="cost"), "metric")
    assert "a set of names" in sentence


def test_a_sound_plugin_has_no_problems():
    assert list(find_contract_errors(Fine, "strategy")) == []


@pytest.mark.parametrize("plugin", Registry().plugins, ids=lambda plugin: f"{plugin.kind}-{plugin.name}")
def test_every_built_in_comes_through_the_public_door(plugin):
    assert plugin.load().__module__.startswith("tlplug_plugins.")
    assert plugin.distribution == "tlplug"
    assert 10 < len(plugin.description) < 80


def test_a_head_of_an_auto_class_is_asked_for_what_only_it_can_say():
    from tlplug import TransformersHead

    class Misspelt(TransformersHead):
        """A label for a text."""

        contract = 1
        columns = {"text": "what is judged", "label": "its label"}
        targets = ("label",)
        primary_score = "accuracy"

        def input(self, row):
            return row["text"]

    assert list(find_contract_errors(Misspelt, "head")) == [
        "it does not define `auto_class`",
        "it does not define `inputs` or `encode`",
        "it does not define `example_scores`",
        "it defines 'input', which the contract does not have. Did you mean 'inputs'?",
    ]


def test_an_auto_class_that_transformers_has_not_is_an_error_that_names_both(tiny_base):
    from tlplug import TransformersHead

    class Misspelt(TransformersHead):
        auto_class = "AutoModelForSequenceClasification"

    with pytest.raises(
        PluginError, match="head Misspelt: transformers has no AutoModelForSequenceClasification"
    ):
        Misspelt().why_incompatible(tiny_base)
