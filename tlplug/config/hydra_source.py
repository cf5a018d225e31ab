"""Plugins as Hydra configs: a group lists entry-point names, and a chosen name is imported for its Config.

Hydra calls these classes by its own interface; arguments keep its names.
"""

from __future__ import annotations

from functools import cached_property
from typing import Any, List  # noqa: UP035

from hydra.core.config_search_path import ConfigSearchPath
from hydra.core.object_type import ObjectType
from hydra.plugins.config_source import ConfigLoadError, ConfigResult, ConfigSource
from hydra.plugins.search_path_plugin import SearchPathPlugin
from omegaconf import OmegaConf, open_dict

from tlplug.config.choices import SETTINGS
from tlplug.interfaces.registry import KINDS, Registry
from tlplug.settings import RootConfig

SCHEMA = "schema"
GROUPS = (*KINDS, *SETTINGS)
LISTS = ("metric", "logger")
"""Groups with several choices at a time: each choice has its own node, or two would be merged into one."""


class PluginSource(ConfigSource):  # type: ignore[misc]
    """`tlplug://`: the root schema, and a typed config for every plugin, logger, sweep and launcher, `<group>/<name>`."""

    @staticmethod
    def scheme() -> str:
        return "tlplug"

    @cached_property
    def registry(self) -> Registry:
        return Registry()

    def available(self) -> bool:
        return True

    def is_group(self, config_path: str) -> bool:
        return config_path.strip("/") in {"", *GROUPS}

    def is_config(self, config_path: str) -> bool:
        kind, name = split(config_path)
        return (kind, name) == ("", SCHEMA) or name in self._names(kind) or (kind in KINDS and "." in name)

    def list(self, config_path: str, results_filter: ObjectType | None) -> List[str]:  # noqa: UP006
        path = config_path.strip("/")
        groups = sorted(GROUPS) if path == "" else []
        configs = self._names(path)
        if results_filter is None:
            return sorted([*groups, *configs])
        return groups if results_filter == ObjectType.GROUP else configs

    def load_config(self, config_path: str) -> ConfigResult:
        kind, name = split(config_path)
        if not self.is_config(config_path):
            raise ConfigLoadError(f"no plugin: {config_path}")
        if name == SCHEMA:
            return self._result(OmegaConf.structured(RootConfig), None)
        config = OmegaConf.structured(self._config_class(kind, name))
        with open_dict(config):
            config.name = name
        return self._result(config, f"{kind}.{name.rpartition('.')[2]}" if kind in LISTS else None)

    def _names(self, kind: str) -> List[str]:  # noqa: UP006
        return sorted(SETTINGS[kind]) if kind in SETTINGS else self.registry.names(kind)

    def _config_class(self, kind: str, name: str) -> Any:
        if kind in SETTINGS:
            return SETTINGS[kind][name]
        plugin: Any = self.registry.find(kind, name).load()
        return plugin.Config

    def _result(self, config: Any, package: str | None) -> ConfigResult:
        return ConfigResult(
            provider=self.provider, path=self.full_path(), config=config, header={"package": package}
        )


def split(config_path: str) -> tuple[str, str]:
    """`strategy/lora.yaml` -> (`strategy`, `lora`)."""
    kind, _, name = config_path.strip("/").removesuffix(".yaml").rpartition("/")
    return kind, name


class PluginSearchPath(SearchPathPlugin):  # type: ignore[misc]
    """Add the plugins, and the YAML folders of other distributions, to Hydra's search path."""

    def manipulate_search_path(self, search_path: ConfigSearchPath) -> None:
        search_path.append("plugins", "tlplug://")
        for package in Registry().config_packages():
            search_path.append(package, f"pkg://{package}")
