"""Compose a command line's overrides into a config, or raise one error that says what is wrong.

Hydra composes. Keys and choices that do not exist, or that a user cannot set, are checked here, for shorter messages.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any

from hydra import compose, initialize_config_module
from hydra.core.config_loader import ConfigLoader
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.types import Override
from hydra.core.plugins import Plugins
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf, open_dict
from omegaconf.errors import OmegaConfBaseException

from tlplug.config.choices import CHOSEN, GROUPS, SWEEP_GROUPS, Choices
from tlplug.config.hydra_source import PluginSearchPath, PluginSource
from tlplug.config.keys import check_keys
from tlplug.config.overrides import (
    SHORT,
    chosen,
    first_choice,
    first_line,
    group_of,
    normalised,
    parse,
    typed,
    values,
)
from tlplug.config.typed_fields import set_fields
from tlplug.errors import UsageError, no_such
from tlplug.interfaces.registry import KINDS, no_such_choice
from tlplug.settings import DomainSettings, RootConfig

ROOT = "config"
ROOT_KEYS = tuple(field.name for field in fields(RootConfig))
RUN_DIR = "run_dir"


class Composer:
    """Holds Hydra while a command line is composed: `with Composer() as composer: ...`."""

    def __init__(self) -> None:
        self._choices = Choices()

    def __enter__(self) -> Composer:
        plugins = Plugins.instance()
        plugins.register(PluginSource)
        plugins.register(PluginSearchPath)
        self._scope = initialize_config_module("tlplug_conf", version_base="1.3", job_name="tlplug")
        self._scope.__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        self._scope.__exit__(*error)

    @property
    def loader(self) -> ConfigLoader:
        return GlobalHydra.instance().config_loader()

    def choices(self, group: str) -> list[str]:
        """Return the names that can be chosen in a group, including those of other packages."""
        return self._choices.names(group)

    def compose(self, words: Sequence[str]) -> DictConfig:
        """Return the config of one run, with every key and choice checked.

        Raises:
            UsageError: an unknown group, choice or key, a wrong type, or no strategy or task.
        """
        overrides = self._named(words)
        for override in chosen(overrides):
            if override.is_sweep_override():
                raise UsageError(f"'{override.input_line}' has several values: add -m to run them all")
        fields = typed(overrides)
        config = self._compose([override.input_line for override in overrides if override not in fields])
        set_fields(config, fields)
        try:
            for key in SHORT:
                self._take_preset(OmegaConf.select(config, key))
        except (HydraException, OmegaConfBaseException) as error:
            raise UsageError(plain_words(error)) from error
        return config

    def run_dir(self, words: Sequence[str]) -> str | None:
        """Return the `run_dir` of the words; of a sweep, the folder of all its jobs."""
        given = [o.value() for o in parse([normalised(word) for word in words]) if o.key_or_group == RUN_DIR]
        return str(given[-1]) if given else None

    def check(self, words: Sequence[str]) -> list[Override]:
        """Return the overrides, after checking that their keys and choices exist; of a sweep, each value."""
        overrides = self._named(words)
        self._check_keys(overrides)
        return overrides

    def _named(self, words: Sequence[str]) -> list[Override]:
        """Return the overrides, after checking that their groups and choices exist; keys are not checked."""
        overrides = parse([normalised(word) for word in words])
        for override in overrides:
            if not override.is_hydra_override():
                self._check_root(override)
        for override in chosen(overrides):
            self._check_choice(override)
        self._check_chosen(chosen(overrides))
        return overrides

    def _check_keys(self, overrides: Sequence[Override]) -> None:
        """Check that the overrides set keys which exist with these choices."""
        check_keys(typed(overrides), self._compose([first_choice(each) for each in chosen(overrides)]))

    def compose_own(self, root: str, overrides: Sequence[Override]) -> DictConfig:
        """Return a config that is not a run's: `root` of conf/, with every key and choice checked.

        Raises:
            UsageError: an unknown choice or key, a wrong type, or several values where one is taken.
        """
        for override in overrides:
            if override.is_sweep_override():
                raise UsageError(f"'{override.input_line}' has several values; it takes one")
        fields = [override for override in overrides if "." in group_of(override)]
        choices = [override for override in overrides if override not in fields]
        for override in choices:
            self._check_choice(override)
        try:
            config: DictConfig = compose(root, [override.input_line for override in choices])
        except (HydraException, OmegaConfBaseException) as error:
            raise UsageError(plain_words(error)) from error
        set_fields(config, fields)
        return config

    def _compose(self, lines: list[str]) -> DictConfig:
        """Return the config of choices, with the defaults of all fields."""
        try:
            config: DictConfig = compose(ROOT, lines, return_hydra_config=True)
            choices = config.hydra.runtime.choices
            with open_dict(config), open_dict(config.strategy):
                config.task, config.strategy.preset = choices.task, choices.strategy
                del config["hydra"]
            return config
        except (HydraException, OmegaConfBaseException) as error:
            raise UsageError(plain_words(error)) from error

    def spelt_out(self, words: Sequence[str]) -> list[str]:
        """Return the words with each data preset that names a domain replaced by its path and columns."""
        found: list[str] = []
        for word in words:
            key, _, value = normalised(word).partition("=")
            domain = key.removesuffix(".path")
            if domain in SHORT and value in self.choices("data"):
                found += [f"{domain}.{name}" for name in lines_of(self._preset(value))]
            else:
                found.append(normalised(word).lstrip("+"))
        return found

    def _take_preset(self, domain: DictConfig) -> None:
        """Fill in a data preset if it is the path of a domain; keys that the user set stay as they are."""
        if domain.path not in self.choices("data"):
            return
        usual = DomainSettings()
        for name, value in self._preset(domain.path).items():
            if name == "columns":
                domain.columns = {**value, **domain.columns}
            elif name == "path" or domain[name] == getattr(usual, name):
                domain[name] = value

    def _preset(self, name: str) -> dict[str, Any]:
        """Return a data preset as settings of a domain."""
        others = [f"{group}={self.choices(group)[0]}" for group in CHOSEN]
        found = compose(ROOT, [*others, f"data={name}"]).data
        splits = {split: found.splits[split] for split in ("train", "test")}
        return {**{key: found[key] for key in ("path", "subset", "revision", "columns")}, **splits}

    def _check_root(self, override: Override) -> None:
        first = group_of(override).partition(".")[0]
        if first in SWEEP_GROUPS:
            raise UsageError(f"'{override.input_line}' is of several runs: add -m to run them all")
        if first not in (*GROUPS, *ROOT_KEYS):
            known = {*GROUPS, *ROOT_KEYS, *SWEEP_GROUPS}
            raise UsageError(f"'{override.input_line}': {no_such('key or group', first, known)}")

    def _check_choice(self, override: Override) -> None:
        group = group_of(override)
        if override.is_delete():
            raise UsageError(f"'{override.input_line}' takes a choice away; {group}=... makes another")
        options = self.choices(group)
        for choice in values(override):
            for name in choice if isinstance(choice, list) else [choice]:
                dotted = group in KINDS and "." in str(name)
                if not dotted and str(name) not in options:
                    raise UsageError(no_such_choice(group, "null" if name is None else str(name), options))

    def _check_chosen(self, choices: list[Override]) -> None:
        given = {group_of(override) for override in choices}
        missing = [group for group in CHOSEN if group not in given]
        if missing:
            say = " and ".join(f"{group}=..." for group in missing)
            listed = "\n\n".join(self._choices.describe(group) for group in missing)
            raise UsageError(
                f"say {say}\n\n{listed}\n\nfor example: python -m tlplug +strategy=lora +task=sentiment"
            )


def lines_of(values: Mapping[str, Any]) -> list[str]:
    """`key=value` of each that is set, of columns each by itself."""
    flat = {**values, **{f"columns.{name}": value for name, value in values["columns"].items()}}
    return [f"{name}={value}" for name, value in flat.items() if name != "columns" and value is not None]


def plain_words(error: BaseException) -> str:
    """Return a short message for an error of Hydra or OmegaConf: the outer one and the first line of its cause."""
    cause = error
    while cause.__cause__ is not None:
        cause = cause.__cause__
    outer, inner = first_line(error), first_line(cause) if cause is not error else ""
    return ": ".join(part for part in (outer.replace("Error merging override ", ""), inner) if part)
