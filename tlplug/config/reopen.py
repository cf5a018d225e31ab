"""A finished run's config.yaml -> the objects that use what it trained."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError  # type: ignore[import-untyped]

from tlplug.config.compose import SHORT, normalised, parse
from tlplug.config.job import Job, build, job_of, plain
from tlplug.config.keys import key_paths
from tlplug.errors import UsageError, no_such
from tlplug.runtime.files import refuse_address
from tlplug.runtime.secrets import list_redacted_keys
from tlplug.settings import OPEN, DomainSettings, RootConfig


def give(config: DictConfig, words: Sequence[str], folder: Path) -> None:
    """Put each secret where it was; nothing else of a run that was begun can be another.

    Args:
        words: `key=value` of each.

    Raises:
        UsageError: one is lacking, or a word is about something else.
    """
    hidden = list_redacted_keys(plain(config))
    for found in parse([normalised(word).lstrip("+") for word in words]):
        key = found.key_or_group
        if key not in hidden:
            can = (
                f"only its secrets can be given: {', '.join(hidden)}"
                if hidden
                else "it has no secrets to be given"
            )
            raise UsageError(
                f"resume: '{key}' cannot be another: a run is gone on with as it was begun ({can}); for other "
                "settings begin a new run"
            )
        try:
            OmegaConf.update(config, key, found.value())
        except OmegaConfBaseException as error:
            raise UsageError(f"resume: {key}: {str(error).splitlines()[0]}") from error
    if lacking := [key for key in list_redacted_keys(plain(config)) if key in hidden]:
        again = " ".join(f"{key}=..." for key in lacking)
        raise UsageError(
            f"{folder} was written without its secrets; give {', '.join(lacking)} again: "
            f"python -m tlplug resume {shlex.quote(str(folder))} {again}"
        )


CONFIG = "config.yaml"


@dataclass(frozen=True, kw_only=True)
class FinishedRun(Job):
    """The job of a finished run, without its metrics, baselines and loggers; the head has not learnt from rows yet."""

    folder: Path
    """The run directory."""


DATA = ("data",)
"""The node of a finished run's config whose keys can be set anew."""


def reopen(
    folder: Path, overrides: Sequence[str] = (), trust: bool = False, nodes: Sequence[str] = DATA
) -> FinishedRun:
    """Read the config of the run in `folder`.

    Args:
        overrides: `data.key=value` over what the run had.
        nodes: whose keys may stand in `overrides`.
        trust: whether a class that the config names by its dotted path may be imported.

    Raises:
        UsageError: there is no run, its config is not usable, or a plugin of it is not there.
    """
    config = read(folder)
    override(config, overrides, nodes)
    if not trust:
        expect_trusted(folder, config, {"strategy": [config.strategy.name], "head": [config.head.name]})
    config_of_run = plain(config)
    config.metric, config.logger, config.transfer.baselines = {}, {}, []
    return FinishedRun(**{**vars(job_of(config)), "config": config_of_run}, folder=folder)


def job_again(folder: Path, typed: Sequence[str], trust: bool = False, secrets: Sequence[str] = ()) -> Job:
    """The job that the run in `folder` was begun with.

    Args:
        typed: the words that it was asked for with.
        secrets: `key=value` of those that its config was written without.

    Raises:
        UsageError: there is no run, its config is not usable, or a plugin of it is not there.
    """
    config = read(folder)
    if not trust:
        expect_trusted(folder, config, plugin_names(config))
    give(config, secrets, folder)
    return build(config, typed)


def plugin_names(config: Mapping[str, Any]) -> dict[str, list[str]]:
    """What a run's config names its plugins, by what they are in it; one with a dot is the path of a class."""
    return {
        "strategy": [config["strategy"]["name"]],
        "head": [config["head"]["name"]],
        "metric": [node["name"] for node in config["metric"].values()],
        "baseline": list(config["transfer"]["baselines"]),
    }


def needs_trust(job: Job) -> bool:
    """Whether the job needs the user's word that code may be run, as `--trust` gives it."""
    named = chain.from_iterable(plugin_names(job.config).values())
    return job.model.trust_remote_code or any("." in name for name in named)


def expect_trusted(folder: Path, config: DictConfig, names: Mapping[str, Sequence[str]]) -> None:
    """Nothing in a run directory names code to be run, unless the user says that it may.

    Args:
        names: of the plugins that are going to be loaded.

    Raises:
        UsageError: a plugin is named by its dotted path, the base model brings code, or a link leads elsewhere.
    """
    expect_own(folder)
    if config.model.trust_remote_code:
        raise UsageError(
            f"{folder / CONFIG} has model.trust_remote_code=true, which runs Python code that comes with its base "
            "model. If you know where the run is from: add --trust"
        )
    for kind, name in ((kind, name) for kind, each in names.items() for name in each):
        if "." in str(name):
            raise UsageError(
                f"this run's {kind} is the class {name}, by its dotted path. Loading it runs whatever code is "
                "found under that name. If you know where the run is from: add --trust"
            )


def expect_own(folder: Path) -> None:
    """What is read of a run directory lies in it: a link could make any file of this machine look like a part of it.

    Raises:
        UsageError: there is a link that leads elsewhere.
    """
    whole = folder.resolve()
    for path in sorted(folder.rglob("*")):
        if path.is_symlink() and not path.resolve().is_relative_to(whole):
            raise UsageError(
                f"{path} is a link that leads out of the run directory. If you know where the run is from: add --trust"
            )


def read(folder: Path) -> DictConfig:
    """The run's config, on the types of the root config."""
    path = folder / CONFIG
    refuse_address("RUN", str(folder))
    if not folder.is_dir():
        raise UsageError(f"there is no run directory {folder}")
    if not path.is_file():
        raise UsageError(f"{folder} is no run directory: it holds no {CONFIG}")
    try:
        # A run's config is resolved; what a `${...}` in it would read of this machine is nobody's to ask for.
        if "${" in path.read_text(encoding="utf-8"):
            raise UsageError(f"{path} is not a run's config: it holds an interpolation, ${{...}}")
        found = OmegaConf.merge(OmegaConf.structured(RootConfig), OmegaConf.load(path))
        if not all(
            OmegaConf.select(found, key) for key in ("task", "strategy.preset", "strategy.name", "head.name")
        ):
            raise UsageError(f"{path} does not say the task, the strategy or the head")
    except (OmegaConfBaseException, YAMLError, UnicodeDecodeError, ValueError, RecursionError) as error:
        raise UsageError(f"{path} is not a run's config: {str(error).splitlines()[0]}") from error
    return found  # type: ignore[return-value]


def override(config: DictConfig, words: Sequence[str], nodes: Sequence[str] = DATA) -> None:
    """Only the data that is looked at of a finished run can be another."""
    given = parse([normalised(word).lstrip("+") for word in words])
    for found in given:
        domain = found.key_or_group.removesuffix(".path")
        if domain in SHORT and domain != found.key_or_group:
            # Columns and splits were those of the data that was named before.
            OmegaConf.update(config, domain, OmegaConf.structured(DomainSettings), merge=False)
    for found in given:
        key = found.key_or_group
        if not any(key.startswith(f"{node}.") for node in nodes):
            told = ", ".join(f"{node}.*" for node in nodes)
            raise UsageError(f"'{found.input_line}': of a finished run only {told} can be changed")
        known = [f"{node}.{name}" for node in nodes for name in key_paths(OmegaConf.select(config, node))]
        if key not in known and not key.startswith(OPEN):
            raise UsageError(f"'{found.input_line}': {no_such('key', key, known)}")
        try:
            OmegaConf.update(config, key, found.value(), force_add=key.startswith(OPEN))
        except OmegaConfBaseException as error:
            raise UsageError(f"'{found.input_line}': {str(error).splitlines()[0]}") from error
