import sys
from dataclasses import dataclass
from importlib.metadata import EntryPoint

import pytest

from tlplug import OptimizerSettings, PluginError, Strategy, UsageError
from tlplug.interfaces.registry import GROUPS, Registry, contract_problems


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
    assert any(problem in sentence for sentence in contract_problems(cls, "strategy"))


def test_a_sound_plugin_has_no_problems():
    assert list(contract_problems(Fine, "strategy")) == []


@pytest.mark.parametrize("plugin", Registry().plugins, ids=lambda plugin: f"{plugin.kind}-{plugin.name}")
def test_every_built_in_comes_through_the_public_door(plugin):
    assert plugin.load().__module__.startswith("tlplug_plugins.")
    assert plugin.distribution == "tlplug"
    assert 10 < len(plugin.description) < 80
