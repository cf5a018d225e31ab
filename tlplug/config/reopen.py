"""Read the config of a run directory and build its job."""

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

from tlplug.config.job import Job, build, job_of, plain
from tlplug.config.keys import key_paths
from tlplug.config.overrides import SHORT, normalised, parse
from tlplug.config.typed_fields import set_field
from tlplug.errors import UsageError, no_such
from tlplug.runtime.files import refuse_address
from tlplug.runtime.secrets import list_redacted_keys
from tlplug.settings import OPEN, DomainSettings, RootConfig


def restore_secrets(config: DictConfig, words: Sequence[str], folder: Path) -> None:
    """Set the secrets that the config was written without; a resumed run keeps all other settings.

    Args:
        words: `key=value` of each secret.

    Raises:
        UsageError: a secret is missing, or a word sets another key.
    """
    hidden = list_redacted_keys(plain(config))
    for entry in parse([normalised(word).lstrip("+") for word in words]):
        key = entry.key_or_group
        if key not in hidden:
            secrets = f"only its secrets can be set: {', '.join(hidden)}" if hidden else "it has no secrets"
            raise UsageError(
                f"resume: '{key}' cannot be changed: a run is resumed with its own settings ({secrets}). Start a new run "
                "for other settings"
            )
        set_field(config, key, entry)
    if missing := [key for key in list_redacted_keys(plain(config)) if key in hidden]:
        again = " ".join(f"{key}=..." for key in missing)
        raise UsageError(
            f"{folder} was written without its secrets; set {', '.join(missing)} again: "
            f"python -m tlplug resume {shlex.quote(str(folder))} {again}"
        )


CONFIG = "config.yaml"


@dataclass(frozen=True, kw_only=True)
class FinishedRun(Job):
    """The job of a finished run, without its metrics, baselines and loggers; its head has no state yet."""

    folder: Path
    """The run directory."""


DATA = ("data",)
"""The nodes of a finished run's config whose keys can be changed."""


def reopen(
    folder: Path, overrides: Sequence[str] = (), trust: bool = False, nodes: Sequence[str] = DATA
) -> FinishedRun:
    """Read the config of the run in `folder`.

    Args:
        overrides: `data.key=value` in place of the run's values.
        nodes: the nodes whose keys may be in `overrides`.
        trust: whether a class that the config names by its dotted path may be imported.

    Raises:
        UsageError: there is no run, its config is not usable, or one of its plugins is not installed.
    """
    config = read(folder)
    override(config, overrides, nodes)
    if not trust:
        check_trusted(folder, config, {"strategy": [config.strategy.name], "head": [config.head.name]})
    config_of_run = plain(config)
    config.metric, config.logger, config.transfer.baselines = {}, {}, []
    return FinishedRun(**{**vars(job_of(config)), "config": config_of_run}, folder=folder)


def job_again(folder: Path, typed: Sequence[str], trust: bool = False, secrets: Sequence[str] = ()) -> Job:
    """Return the job of the run in `folder`, to resume it.

    Args:
        typed: the words of the run's command.
        secrets: `key=value` of the secrets that the config was written without.

    Raises:
        UsageError: there is no run, its config is not usable, or one of its plugins is not installed.
    """
    config = read(folder)
    if not trust:
        check_trusted(folder, config, plugin_names(config))
    restore_secrets(config, secrets, folder)
    return build(config, typed)


def plugin_names(config: Mapping[str, Any]) -> dict[str, list[str]]:
    """Return the names of a run's plugins by kind; a name with a dot is the path of a class."""
    return {
        "strategy": [config["strategy"]["name"]],
        "head": [config["head"]["name"]],
        "metric": [node["name"] for node in config["metric"].values()],
        "baseline": list(config["transfer"]["baselines"]),
    }


def needs_trust(job: Job) -> bool:
    """Return whether the job runs code that needs `--trust`."""
    names = chain.from_iterable(plugin_names(job.config).values())
    return job.model.trust_remote_code or any("." in name for name in names)


def check_trusted(folder: Path, config: DictConfig, names: Mapping[str, Sequence[str]]) -> None:
    """Refuse a run directory that names code to be run, unless the user trusts it.

    Args:
        names: the plugins to be loaded, by kind.

    Raises:
        UsageError: a plugin is named by its dotted path, the base model brings code, or a link leads elsewhere.
    """
    check_links(folder)
    if config.model.trust_remote_code:
        raise UsageError(
            f"{folder / CONFIG} has model.trust_remote_code=true, which runs Python code that comes with its base "
            "model. If you know where the run is from: add --trust"
        )
    for kind, name in ((kind, name) for kind, each in names.items() for name in each):
        if "." in str(name):
            raise UsageError(
                f"this run's {kind} is the class {name}, by its dotted path. Loading it runs the code "
                "under that name. If you know where the run is from: add --trust"
            )


def check_links(folder: Path) -> None:
    """Refuse links out of a run directory, which could make any file of this machine look like a part of it.

    Raises:
        UsageError: a link leads out of the folder.
    """
    whole = folder.resolve()
    for path in sorted(folder.rglob("*")):
        if path.is_symlink() and not path.resolve().is_relative_to(whole):
            raise UsageError(
                f"{path} is a link that leads out of the run directory. If you know where the run is from: add --trust"
            )


def read(folder: Path) -> DictConfig:
    """Read the config of a run on the types of the root config."""
    path = folder / CONFIG
    refuse_address("RUN", str(folder))
    if not folder.is_dir():
        raise UsageError(f"there is no run directory {folder}")
    if not path.is_file():
        raise UsageError(f"{folder} is no run directory: it holds no {CONFIG}")
    try:
        # A run's config is resolved, so a `${...}` in it could only read values of this machine.
        if "${" in path.read_text(encoding="utf-8"):
            raise UsageError(f"{path} is not a run's config: it holds an interpolation, ${{...}}")
        config = OmegaConf.merge(OmegaConf.structured(RootConfig), OmegaConf.load(path))
        if not all(
            OmegaConf.select(config, key) for key in ("task", "strategy.preset", "strategy.name", "head.name")
        ):
            raise UsageError(f"{path} does not name the task, the strategy or the head")
    except (OmegaConfBaseException, YAMLError, UnicodeDecodeError, ValueError, RecursionError) as error:
        raise UsageError(f"{path} is not a run's config: {str(error).splitlines()[0]}") from error
    return config  # type: ignore[return-value]


def override(config: DictConfig, words: Sequence[str], nodes: Sequence[str] = DATA) -> None:
    """Change settings of a finished run, those of `nodes` only."""
    entries = parse([normalised(word).lstrip("+") for word in words])
    for entry in entries:
        domain = entry.key_or_group.removesuffix(".path")
        if domain in SHORT and domain != entry.key_or_group:
            # Columns and splits belong to the previous data.
            OmegaConf.update(config, domain, OmegaConf.structured(DomainSettings), merge=False)
    for entry in entries:
        key = entry.key_or_group
        if not any(key.startswith(f"{node}.") for node in nodes):
            allowed = ", ".join(f"{node}.*" for node in nodes)
            raise UsageError(f"'{entry.input_line}': of a finished run only {allowed} can be changed")
        known = [f"{node}.{name}" for node in nodes for name in key_paths(OmegaConf.select(config, node))]
        if key not in known and not key.startswith(OPEN):
            raise UsageError(f"'{entry.input_line}': {no_such('key', key, known)}")
        set_field(config, key, entry)
