"""What can be chosen in each group, and what it is: entry points and the files of presets, read without Hydra."""

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
"""Of many runs, with `-m`; no run's own config has them."""
CHOSEN = ("strategy", "task")
"""Groups that have no default."""
SETTINGS = {"logger": LOGGERS, "sweep": SWEEPS, "launcher": LAUNCHERS}
"""Groups whose choices are the core's own -> the type of each choice."""
PRESETS = "tlplug_conf"
"""The package of our own presets; other distributions add theirs."""
SUFFIX = ".yaml"


class Choices:
    """The choices of every group, of what is installed as it is made."""

    def __init__(self) -> None:
        self._registry = Registry()

    def names(self, group: str) -> list[str]:
        """Names that can be chosen in a group, presets and plugins of other packages among them."""
        presets = {file.name.removesuffix(SUFFIX) for file in self._presets(group)}
        return sorted({*presets, *self._registry.names(group), *SETTINGS.get(group, ())})

    def describe(self, group: str) -> str:
        """A group's choices, a line each with its description."""
        names = self.names(group)
        width = max(map(len, names), default=0)
        return "\n".join([f"{group}=", *(f"  {name:<{width}}  {self._told(group, name)}" for name in names)])

    def overview(self) -> str:
        """All groups: the choices of those without a default described, the others' names on a line each."""
        listed = [self.describe(group) for group in CHOSEN]
        others = [
            f"{group}= {', '.join(self.names(group))}"
            for group in (*GROUPS, *SWEEP_GROUPS)
            if group not in CHOSEN
        ]
        return "\n\n".join([*listed, "\n".join(others)])

    def _told(self, group: str, name: str) -> str:
        """Of a plugin its docstring's first line, of a preset its first comment."""
        if name not in self._registry.names(group):
            return next((comment(file) for file in self._presets(group) if file.name == name + SUFFIX), "")
        try:
            return self._registry.find(group, name).description
        except PluginError as error:
            return f"cannot be loaded: {error}"

    def _presets(self, group: str) -> Iterator[Traversable]:
        """The YAML files of a group, our own first, as Hydra searches for them."""
        for package in (PRESETS, *self._registry.config_packages()):
            try:
                folder = files(package) / group
            except ModuleNotFoundError:
                # Hydra passes over a package that is not there, too.
                continue
            if folder.is_dir():
                yield from (file for file in folder.iterdir() if file.name.endswith(SUFFIX))


def comment(file: Traversable) -> str:
    """The first comment of a YAML file, which says what it is."""
    lines = file.read_text(encoding="utf-8").splitlines()
    found = (line[1:].strip() for line in lines if line.startswith("#") and "@package" not in line)
    return next(found, "")
