"""List the keys of a composed config, and raise an error for a key that does not exist."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from hydra.core.override_parser.types import Override
from omegaconf import DictConfig, OmegaConf

from tlplug.config.choices import GROUPS
from tlplug.errors import UsageError, did_you_mean
from tlplug.runtime.compat import node_of
from tlplug.settings import OPEN

NAMES = (".name", ".preset")
"""Keys that a choice sets; a user cannot set them directly."""


def check_keys(overrides: Sequence[Override], config: DictConfig) -> None:
    """Check that each override sets an existing key of the config.

    Raises:
        UsageError: for the first that does not, or that deletes its key.
    """
    for override in absent(overrides, config):
        key = override.key_or_group
        if key in typable(config):
            raise UsageError(f"'{override.input_line}' takes a key away; {key}=... gives it another value")
        hint = did_you_mean(key, [*typable(config), *GROUPS])
        raise UsageError(
            f"there is no key '{key}' (in '{override.input_line}').{hint}{siblings(key, config)}"
        )


def absent(overrides: Sequence[Override], config: DictConfig) -> Iterator[Override]:
    """Yield the overrides that set a key which does not exist, or delete one."""
    known = set(typable(config))
    for override in overrides:
        key = override.key_or_group
        if not key.startswith(OPEN) and (key not in known or override.is_delete()):
            yield override


def typable(config: DictConfig) -> list[str]:
    return [path for path in key_paths(config) if not path.endswith(NAMES)]


def key_paths(config: DictConfig, prefix: str = "") -> Iterator[str]:
    """Yield every key of a config by its dotted path, nodes and leaves."""
    for key in map(str, config):
        path = f"{prefix}{key}"
        yield path
        node = node_of(config, key)
        if node is not None:
            yield from key_paths(node, f"{path}.")


def siblings(key: str, config: DictConfig) -> str:
    """Return a sentence that lists the keys of the same node."""
    parent, _, _ = key.rpartition(".")
    node = OmegaConf.select(config, parent) if parent else config
    if not isinstance(node, DictConfig):
        return ""
    names = sorted(str(name) for name in node if name not in ("name", "preset"))
    return f" {parent or 'the root'} has: {', '.join(names) or 'no keys'}."
