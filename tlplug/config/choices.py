"""List the choices of each group with their descriptions, from entry points and preset files, without Hydra."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.resources import files
from typing import TYPE_CHECKING

from tlplug.errors import PluginError
from tlplug.interfaces.registry import Registry
from tlplug.settings import LAUNCHERS, LOGGERS, SWEEPS

if TYPE_CHECKING:
    from importlib.resources.abc import Traversable

GROUPS = ("strategy", "task", "head", "model", "data", "trainer", "metric", "logger")
SWEEP_GROUPS = ("sweep", "launcher")
"""Groups of a sweep (`-m`); the config of a run does not have them."""
CHOSEN = ("strategy", "task")
"""Groups that have no default."""
SETTINGS = {"logger": LOGGERS, "sweep": SWEEPS, "launcher": LAUNCHERS}
"""Groups whose choices are part of the core -> the settings class of each choice."""
PRESETS = "tlplug_conf"
"""The package of our own presets; other distributions add theirs."""
SUFFIX = ".yaml"
PLACE_KEYS = ("run_dir", "resume")
"""Keys that say where a run is and how it starts, and do not change what it does."""


class Choices:
    """The choices of every group, from what is installed when it is created."""

    def __init__(self) -> None:
        self._registry = Registry()

    def names(self, group: str) -> list[str]:
        """Return the names that can be chosen in a group, including those of other packages."""
        presets = {file.name.removesuffix(SUFFIX) for file in self._presets(group)}
        return sorted({*presets, *self._registry.names(group), *SETTINGS.get(group, ())})

    def describe(self, group: str) -> str:
        """Return the choices of a group, each on a line with its description."""
        names = self.names(group)
        width = max(map(len, names), default=0)
        return "\n".join(
            [f"{group}=", *(f"  {name:<{width}}  {self._description(group, name)}" for name in names)]
        )

    def overview(self) -> str:
        """Return all groups: those without a default with descriptions, the others as a list of names."""
        listed = [self.describe(group) for group in CHOSEN]
        others = [
            f"{group}= {', '.join(self.names(group))}"
            for group in (*GROUPS, *SWEEP_GROUPS)
            if group not in CHOSEN
        ]
        return "\n\n".join([*listed, "\n".join(others)])

    def _description(self, group: str, name: str) -> str:
        """Return the first line of a plugin's docstring, or the first comment of a preset."""
        if name not in self._registry.names(group):
            return next((comment(file) for file in self._presets(group) if file.name == name + SUFFIX), "")
        try:
            return self._registry.find(group, name).description
        except PluginError as error:
            return f"cannot be loaded: {error}"

    def _presets(self, group: str) -> Iterator[Traversable]:
        """Yield the preset files of a group in Hydra's search order, those of tlplug first."""
        for package in (PRESETS, *self._registry.config_packages()):
            try:
                folder = files(package) / group
            except ModuleNotFoundError:
                # Hydra ignores a package that does not exist, too.
                continue
            if folder.is_dir():
                yield from (file for file in folder.iterdir() if file.name.endswith(SUFFIX))


def root_key(word: str) -> str:
    """Return the first part of an override's key: `strategy` of `+strategy.r=4`."""
    return word.lstrip("+").partition("=")[0].partition(".")[0]


def comment(file: Traversable) -> str:
    """Return the first comment of a YAML file, its description."""
    lines = file.read_text(encoding="utf-8").splitlines()
    comments = (line[1:].strip() for line in lines if line.startswith("#") and "@package" not in line)
    return next(comments, "")
