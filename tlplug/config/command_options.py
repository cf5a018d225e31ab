"""The words of a command that are its own settings and no run's."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from importlib.resources import files
from typing import Any

from hydra.core.override_parser.types import Override
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from tlplug.config.choices import PRESETS, SUFFIX
from tlplug.config.overrides import group_of, parse, values
from tlplug.errors import UsageError


def typed_settings(cls: type, node: str, overrides: Sequence[Override]) -> DictConfig:
    """Return the settings on their types, not made into an object yet: the defaults of `cls` and of conf/<node>.yaml, then
    what was typed.

    Args:
        node: that the keys may stand below: `compare.seeds` is `seeds`.

    Raises:
        UsageError: a value is of another type, or there are several for a field that takes one.
    """
    config = usual_settings(cls, node)
    types = {field.name: str(field.type) for field in fields(cls)}
    for override in overrides:
        name = group_of(override).removeprefix(f"{node}.")
        try:
            OmegaConf.update(config, name, value(override, types[name]))
        except OmegaConfBaseException as error:
            raise UsageError(f"'{override.input_line}': {str(error).splitlines()[0]}") from error
    return config


def usual_settings(cls: type, node: str) -> DictConfig:
    """Return the defaults of a command's settings; which plugins are the usual ones stands in conf/<node>.yaml."""
    usual = (files(PRESETS) / f"{node}{SUFFIX}").read_text(encoding="utf-8")
    return OmegaConf.merge(OmegaConf.structured(cls), OmegaConf.create(usual))  # type: ignore[return-value]


def value(override: Override, field_type: str) -> Any:
    """Return the typed value; a field that is a list, or of any type, takes several without brackets."""
    several = override.is_sweep_override()
    is_list = field_type.startswith("list")
    if several and not is_list and field_type != "Any":
        raise UsageError(f"'{override.input_line}' has several values; it takes one")
    found = [parse([f"x={item}"])[0].value() for item in values(override)] if several else override.value()
    return [found] if is_list and not isinstance(found, list) else found
