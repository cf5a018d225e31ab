"""Find plugins by their entry points. Listing reads names only; a plugin is imported when it is loaded."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, is_dataclass
from functools import cache, cached_property
from importlib.metadata import Distribution, EntryPoint, entry_points
from typing import Any

from tlplug.errors import PluginError, UsageError, did_you_mean, no_such
from tlplug.interfaces import CONTRACT
from tlplug.interfaces.evidence_names import find_requires_errors
from tlplug.interfaces.head import TaskHead
from tlplug.interfaces.metric import SECTIONS, TransferMetric
from tlplug.interfaces.strategy import Strategy

KINDS: dict[str, type] = {"strategy": Strategy, "head": TaskHead, "metric": TransferMetric}
GROUPS = {"strategy": "tlplug.strategies", "head": "tlplug.heads", "metric": "tlplug.metrics"}
CONFIGS = "tlplug.configs"
"""Entry-point group of packages whose YAML files are added to the config search path."""
DISABLE = "TLPLUG_DISABLE_PLUGINS"
"""Environment variable: with `1` only built-in plugins are loaded, none of other distributions or by dotted path."""
BUILT_IN = ("tlplug", "tlplug_plugins")
"""The distribution and the package of the built-in plugins."""

REQUIRED = {
    "strategy": ("adapt", "optimizer_defaults"),
    "head": (
        "columns",
        "primary_score",
        "load_model",
        "encode",
        "training_step",
        "predict",
        "example_scores",
    ),
    "metric": ("measure",),
}


@dataclass(frozen=True)
class Plugin:
    """A plugin by name; `load` imports it."""

    name: str
    kind: str
    entry_point: EntryPoint

    @property
    def distribution(self) -> str:
        return name_and_version(self.entry_point.dist)[0] if self.entry_point.dist else "(not installed)"

    @property
    def version(self) -> str:
        return name_and_version(self.entry_point.dist)[1] if self.entry_point.dist else ""

    def __str__(self) -> str:
        return (
            f"{self.kind} {self.name!r} ({self.entry_point.value}, "
            f"from {' '.join((self.distribution, self.version)).strip()})"
        )

    def load(self) -> type:
        """Import the plugin's class and check it against its contract.

        Raises:
            PluginError: the plugin cannot be imported or breaks the contract; names its distribution.
        """
        try:
            plugin = self.entry_point.load()
        except Exception as error:
            raise PluginError(f"{self} cannot be imported: {type(error).__name__}: {error}") from error
        errors = [f"  {error}" for error in find_contract_errors(plugin, self.kind, self.name)]
        if errors:
            raise PluginError("\n".join([f"{self} breaks the plugin contract:", *errors]))
        return plugin  # type: ignore[no-any-return]

    @cached_property
    def description(self) -> str:
        """The first line of the class's docstring; imports the plugin."""
        return first_line(self.load())


def first_line(cls: type) -> str:
    return (cls.__doc__ or "").strip().split("\n")[0]


def find_contract_errors(plugin: object, kind: str, plugin_name: str | None = None) -> Iterator[str]:
    """Yield a sentence for each way in which a class breaks the contract of this kind.

    Args:
        plugin_name: the name that selects the plugin, where it is known.
    """
    expected = KINDS[kind]
    if not (isinstance(plugin, type) and issubclass(plugin, expected)):
        yield f"it is {plugin!r}, not a subclass of tlplug.{expected.__name__}"
        return
    version = getattr(plugin, "contract", None)
    if version != CONTRACT:
        declared = "declares no contract version" if version is None else f"is written for contract {version}"
        yield f"it {declared}; this tlplug has contract {CONTRACT}: set `contract = {CONTRACT}` in the class"
    missing = list(find_missing_names(plugin, kind))
    if missing:
        yield from (f"it does not define {name}" for name in missing)
        yield from find_misspelt_names(plugin, kind)
    config = getattr(plugin, "Config", None)
    if not (isinstance(config, type) and is_dataclass(config)):
        yield "its `Config` is not a dataclass"
    elif config.__dataclass_params__.frozen:  # type: ignore[attr-defined]
        yield "its `Config` is a frozen dataclass, which takes no overrides from the command line"
    if issubclass(plugin, TransferMetric):
        yield from find_requires_errors(plugin, plugin_name)
        if plugin.section not in SECTIONS:
            yield f"its `section` is {plugin.section!r}; it is one of {', '.join(SECTIONS)}"


def contract_class(plugin: type, kind: str) -> type:
    """Return the core's class that the plugin is derived from, such as `TaskHead` or `TransformersHead`."""
    return next((parent for parent in plugin.__mro__ if "required" in vars(parent)), KINDS[kind])


def find_missing_names(plugin: type, kind: str) -> Iterator[str]:
    """Yield each name, or alternatives `a` or `b`, that the contract requires and the plugin does not define."""
    base = contract_class(plugin, kind)
    for required in getattr(base, "required", REQUIRED[kind]):
        names = required.split(" or ")
        if all(getattr(plugin, name, None) is getattr(base, name, None) for name in names):
            yield f"`{'` or `'.join(names)}`"


def find_misspelt_names(plugin: type, kind: str) -> Iterator[str]:
    """Yield a sentence for each public name that differs by a letter or two from an undefined name of the contract."""
    base = contract_class(plugin, kind)
    contract = list_public_names(base.__mro__)
    own = list_public_names(parent for parent in plugin.__mro__ if parent not in base.__mro__)
    for name in sorted(own - contract):
        hint = did_you_mean(name, sorted(contract - own), cutoff=0.75)
        if hint:
            yield f"it defines {name!r}, which the contract does not have.{hint}"


def list_public_names(classes: Iterable[type]) -> set[str]:
    """Return the names without a leading underscore that the classes define or annotate."""
    names = {name for cls in classes for name in (*vars(cls), *vars(cls).get("__annotations__", ()))}
    return {name for name in names if not name.startswith("_")}


class Registry:
    """The installed plugins by kind and name."""

    def __init__(self, points: Sequence[EntryPoint] | None = None) -> None:
        """Use the given entry points instead of the installed ones, for tests."""
        self._override = points

    @cached_property
    def _points(self) -> list[EntryPoint]:
        points = find_entry_points() if self._override is None else self._override
        return [point for point in points if not (is_restricted() and is_foreign(point))]

    @cached_property
    def plugins(self) -> list[Plugin]:
        """The plugins of the three groups by kind and name, without importing them."""
        return [
            Plugin(point.name, kind, point)
            for kind, group in GROUPS.items()
            for point in sorted(self._group(group), key=lambda point: point.name)
        ]

    def _group(self, group: str) -> list[EntryPoint]:
        return [point for point in self._points if point.group == group]

    def names(self, kind: str) -> list[str]:
        return sorted({plugin.name for plugin in self.plugins if plugin.kind == kind})

    def config_packages(self) -> list[str]:
        """Return the packages of YAML files that other distributions add."""
        return sorted({point.value for point in self._group(CONFIGS)})

    def find(self, kind: str, name: str) -> Plugin:
        """Return the plugin with a name or a dotted path (`package.module.Class`).

        Raises:
            UsageError: there is no such plugin.
            PluginError: two plugins have the name.
        """
        plugins = [plugin for plugin in self.plugins if (plugin.kind, plugin.name) == (kind, name)]
        if len(plugins) > 1:
            both = " and ".join(str(plugin) for plugin in plugins)
            raise PluginError(f"two plugins have the name {name!r}: {both}. Uninstall one of them.")
        if plugins:
            return plugins[0]
        module, _, attribute = name.rpartition(".")
        if module and (not is_restricted() or module.partition(".")[0] == BUILT_IN[1]):
            return Plugin(name, kind, EntryPoint(name, f"{module}:{attribute}", GROUPS[kind]))
        raise UsageError(no_such_choice(kind, name, self.names(kind)))


def find_entry_points() -> list[EntryPoint]:
    """Return the entry points of all groups at once, since finding any of them reads every distribution."""
    points = entry_points()
    return [point for group in (*GROUPS.values(), CONFIGS) for point in points.select(group=group)]


def is_restricted() -> bool:
    """Return whether only built-in plugins may be loaded."""
    return os.environ.get(DISABLE, "0") not in ("", "0")


def is_foreign(point: EntryPoint) -> bool:
    return point.dist is None or name_and_version(point.dist)[0] != BUILT_IN[0]


@cache
def name_and_version(distribution: Distribution) -> tuple[str, str]:
    """Return a distribution's name and version, cached: `importlib.metadata` parses the whole README each time."""
    metadata = distribution.metadata
    return metadata["Name"], metadata["Version"]


def no_such_choice(group: str, name: str, choices: Iterable[str]) -> str:
    """Return the message for an unknown choice, with a note where other plugins are switched off."""
    note = f" {DISABLE} is set: no other is loaded." if group in KINDS and is_restricted() else ""
    return no_such(group, name, choices) + note


def describe_plugins(plugins: Iterable[Any]) -> list[dict[str, str]]:
    """Return each plugin's kind, name, distribution and version as plain JSON."""
    return [
        {"kind": p.kind, "name": p.name, "distribution": p.distribution, "version": p.version}
        for p in plugins
    ]
