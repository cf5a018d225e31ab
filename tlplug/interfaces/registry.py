"""Entry points -> plugins. Listing reads names only; a plugin is imported when it is asked for."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, is_dataclass
from functools import cache, cached_property
from importlib.metadata import Distribution, EntryPoint, entry_points
from typing import Any

from tlplug.errors import PluginError, UsageError, did_you_mean, no_such
from tlplug.interfaces import CONTRACT
from tlplug.interfaces.evidence_names import requires_errors
from tlplug.interfaces.head import TaskHead
from tlplug.interfaces.metric import SECTIONS, TransferMetric
from tlplug.interfaces.strategy import Strategy

KINDS: dict[str, type] = {"strategy": Strategy, "head": TaskHead, "metric": TransferMetric}
GROUPS = {"strategy": "tlplug.strategies", "head": "tlplug.heads", "metric": "tlplug.metrics"}
CONFIGS = "tlplug.configs"
"""Entry-point group of packages whose folder of YAML joins the config search path."""
DISABLE = "TLPLUG_DISABLE_PLUGINS"
"""Environment variable: `1` loads nothing that another distribution, or a dotted path, names."""
OWN = ("tlplug", "tlplug_plugins")
"""Our distribution's name, and the package of the built-in plugins."""

REQUIRED = {
    "strategy": ("adapt", "optimizer_defaults"),
    "head": (
        *("columns", "primary_score", "load_model", "encode"),
        *("training_step", "predict", "example_scores"),
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
        return origin(self.entry_point.dist)[0] if self.entry_point.dist else "(not installed)"

    @property
    def version(self) -> str:
        return origin(self.entry_point.dist)[1] if self.entry_point.dist else ""

    def __str__(self) -> str:
        return (
            f"{self.kind} {self.name!r} ({self.entry_point.value}, "
            f"from {' '.join((self.distribution, self.version)).strip()})"
        )

    def load(self) -> type:
        """The plugin's class, checked against its contract.

        Raises:
            PluginError: it cannot be imported or breaks the contract; names where it comes from.
        """
        try:
            found = self.entry_point.load()
        except Exception as error:
            raise PluginError(f"{self} cannot be imported: {type(error).__name__}: {error}") from error
        problems = list(contract_problems(found, self.kind, self.name))
        if problems:
            raise PluginError(f"{self} breaks the plugin contract:\n" + "\n".join(f"  {p}" for p in problems))
        return found  # type: ignore[no-any-return]

    @cached_property
    def description(self) -> str:
        """First line of the class's docstring. Imports the plugin."""
        return first_line(self.load())


def first_line(cls: type) -> str:
    """Return the first line of the class's docstring."""
    return (cls.__doc__ or "").strip().split("\n")[0]


def contract_problems(found: object, kind: str, plugin_name: str | None = None) -> Iterator[str]:
    """Yield what keeps a class from being a plugin of this kind, one sentence each.

    Args:
        plugin_name: under which it is selected, where that is known.
    """
    expected = KINDS[kind]
    if not (isinstance(found, type) and issubclass(found, expected)):
        yield f"it is {found!r}, not a subclass of tlplug.{expected.__name__}"
        return
    version = getattr(found, "contract", None)
    if version != CONTRACT:
        declared = "declares no contract version" if version is None else f"is written for contract {version}"
        yield f"it {declared}; this tlplug has contract {CONTRACT}: set `contract = {CONTRACT}` in the class"
    if missing := list(missing_names(found, kind)):
        yield from (f"it does not define {each}" for each in missing)
        yield from misspelt_names(found, kind)
    config = getattr(found, "Config", None)
    if not (isinstance(config, type) and is_dataclass(config)):
        yield "its `Config` is not a dataclass"
    elif config.__dataclass_params__.frozen:  # type: ignore[attr-defined]
        yield "its `Config` is a frozen dataclass, which takes no overrides from the command line"
    if issubclass(found, TransferMetric):
        yield from requires_errors(found, plugin_name)
        if found.section not in SECTIONS:
            yield f"its `section` is {found.section!r}; it is one of {', '.join(SECTIONS)}"


def contract_class(plugin: type, kind: str) -> type:
    """Return the class of the core that the plugin is derived from, such as `TaskHead` or `TransformersHead`."""
    return next((parent for parent in plugin.__mro__ if "required" in vars(parent)), KINDS[kind])


def missing_names(plugin: type, kind: str) -> Iterator[str]:
    """Yield what the contract requires and the plugin does not define."""
    base = contract_class(plugin, kind)
    for names in getattr(base, "required", REQUIRED[kind]):
        either = names.split(" or ")
        if all(getattr(plugin, name, None) is getattr(base, name, None) for name in either):
            yield f"`{'` or `'.join(either)}`"


def misspelt_names(plugin: type, kind: str) -> Iterator[str]:
    """Yield a sentence for each public name that is a letter or two off a name of the contract that is not defined."""
    base = contract_class(plugin, kind)
    contract = public_names(base.__mro__)
    own = public_names(parent for parent in plugin.__mro__ if parent not in base.__mro__)
    for name in sorted(own - contract):
        if hint := did_you_mean(name, sorted(contract - own), cutoff=0.75):
            yield f"it defines {name!r}, which the contract does not have.{hint}"


def public_names(classes: Iterable[type]) -> set[str]:
    """Return the names that the classes define or annotate, without a _ in front."""
    names = {name for each in classes for name in (*vars(each), *vars(each).get("__annotations__", ()))}
    return {name for name in names if not name.startswith("_")}


class Registry:
    """All plugins that are installed, by kind and name."""

    def __init__(self, points: Sequence[EntryPoint] | None = None) -> None:
        """`points` replaces the installed entry points, for tests."""
        self._given = points

    @cached_property
    def _points(self) -> list[EntryPoint]:
        found = installed() if self._given is None else self._given
        return [point for point in found if not (disabled() and is_foreign(point))]

    @cached_property
    def plugins(self) -> list[Plugin]:
        """Every entry point of the three groups, by kind and name; nothing is imported."""
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
        """Packages of YAML that other distributions add."""
        return sorted({point.value for point in self._group(CONFIGS)})

    def find(self, kind: str, name: str) -> Plugin:
        """The plugin of that name, or of that dotted path (`package.module.Class`).

        Raises:
            UsageError: no such plugin, or two of one name.
        """
        found = [plugin for plugin in self.plugins if (plugin.kind, plugin.name) == (kind, name)]
        if len(found) > 1:
            both = " and ".join(str(plugin) for plugin in found)
            raise PluginError(f"two plugins have the name {name!r}: {both}. Uninstall one of them.")
        if found:
            return found[0]
        module, _, attribute = name.rpartition(".")
        if module and (not disabled() or module.partition(".")[0] == OWN[1]):
            return Plugin(name, kind, EntryPoint(name, f"{module}:{attribute}", GROUPS[kind]))
        raise UsageError(no_such_choice(kind, name, self.names(kind)))


def installed() -> list[EntryPoint]:
    """The entry points of our groups. Every distribution is read for them, so they are all asked for at once."""
    points = entry_points()
    return [point for group in (*GROUPS.values(), CONFIGS) for point in points.select(group=group)]


def disabled() -> bool:
    """Whether plugins of other distributions are switched off."""
    return os.environ.get(DISABLE, "0") not in ("", "0")


def is_foreign(point: EntryPoint) -> bool:
    return point.dist is None or origin(point.dist)[0] != OWN[0]


@cache
def origin(distribution: Distribution) -> tuple[str, str]:
    """Its name and version; `importlib.metadata` parses the whole README for either, each time."""
    told = distribution.metadata
    return told["Name"], told["Version"]


def no_such_choice(what: str, name: str, known: Iterable[str]) -> str:
    """Return `no_such`, and that plugins are switched off where the name may be that of one."""
    off = f" {DISABLE} is set: no other is loaded." if what in KINDS and disabled() else ""
    return no_such(what, name, known) + off


def told_of(plugins: Iterable[Any]) -> list[dict[str, str]]:
    """Which plugins they are, and where they come from."""
    return [
        {"kind": p.kind, "name": p.name, "distribution": p.distribution, "version": p.version}
        for p in plugins
    ]
