"""Set a field of a config from an argument: the type of the field decides how its value is read."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import is_dataclass
from types import NoneType, UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

from hydra.core.override_parser.types import Override
from omegaconf import DictConfig, OmegaConf, open_dict
from omegaconf.errors import OmegaConfBaseException

from tlplug.config.keys import check_keys
from tlplug.config.overrides import as_text, first_line
from tlplug.config.values import hydra_value, read_value, text_value
from tlplug.errors import UsageError
from tlplug.runtime.compat import node_of
from tlplug.settings import OPEN


def set_fields(config: DictConfig, overrides: Sequence[Override]) -> None:
    """Check that all keys exist, then set each to the value of its override.

    Raises:
        UsageError: a key does not exist, or a value does not suit its field.
    """
    check_keys(overrides, config)
    for override in overrides:
        set_field(config, override.key_or_group, override)


def set_field(config: DictConfig, key: str, override: Override) -> None:
    """Set `key` of the config to the value of an override.

    Where the field is text, or a list or dictionary of texts, the value is what was typed: `2024_01`, `1e5` and `true`
    are no numbers there.

    Raises:
        UsageError: the value does not suit the field, or there are several.
    """
    if override.is_delete():
        delete_field(config, key)
        return
    kind, word = field_type(config, key), str(override.input_line).lstrip("+")
    if override.is_sweep_override():
        hint = f". If it is one text, type {as_text(override)}" if str in kinds(kind) else ""
        raise UsageError(f"'{word}' has several values: add -m to run them all{hint}")
    value = convert(override, kind)
    if isinstance(value, list | dict) and kinds(kind) <= {str, NoneType}:
        raise UsageError(f"'{word}' is not read as one text: type {as_text(override)}")
    if get_origin(kind) is list and not isinstance(value, list):
        raise UsageError(f"'{word}' is not a list: type {key}=[first,second]")
    try:
        OmegaConf.update(config, key, value, force_add=key.startswith(OPEN))
    except OmegaConfBaseException as error:
        raise UsageError(f"'{word}': {first_line(error)}") from error


def delete_field(config: DictConfig, key: str) -> None:
    """Delete a key below which keys may be added (`OPEN`), such as a column that a preset names."""
    above, _, name = key.rpartition(".")
    with open_dict(config):
        OmegaConf.select(config, above).pop(name, None)


def field_type(config: DictConfig, key: str) -> Any:
    """Return the type of a field as its dataclass declares it; Any where no dataclass does."""
    node: DictConfig | None = config
    kind: Any = Any
    for name in key.split("."):
        schema = None if node is None else OmegaConf.get_type(node)
        if is_dataclass(schema):
            kind = get_type_hints(schema).get(name, Any)
        else:
            kind = get_args(kind)[1] if get_origin(kind) is dict else Any
        node = node_of(node, name) if node is not None and name in node else None
    return kind


def kinds(kind: Any) -> set[Any]:
    """Return the types that a type allows: `str` and `NoneType` of `Optional[str]`."""
    return set(get_args(kind)) if get_origin(kind) in (Union, UnionType) else {kind}


def convert(override: Override, kind: Any) -> Any:
    """Return the value of an override for a field of a type. Keys of dictionaries are texts, whatever they look like."""
    value = override.value()
    as_read = all(isinstance(key, str) for key in dictionary_keys(value)) and (
        not holds_text(kind) or all(isinstance(leaf, str) for leaf in leaves(value))
    )
    read = [] if as_read else read_value(override.get_value_string())
    return as_type(read[0], kind) if len(read) == 1 else value


def holds_text(kind: Any) -> bool:
    """Return whether a type is text or has texts in it."""
    return kind is str or any(holds_text(part) for part in get_args(kind))


def leaves(value: Any) -> Iterator[Any]:
    """Yield the values in lists and dictionaries."""
    if isinstance(value, list | dict):
        for item in value.values() if isinstance(value, dict) else value:
            yield from leaves(item)
    else:
        yield value


def dictionary_keys(value: Any) -> Iterator[Any]:
    """Yield the keys of dictionaries, also of those in lists and dictionaries."""
    if isinstance(value, dict):
        yield from value
    if isinstance(value, list | dict):
        for item in value.values() if isinstance(value, dict) else value:
            yield from dictionary_keys(item)


def as_type(value: Any, kind: Any) -> Any:
    """Return a value of `read_value` for a type: as text where the type is text, else as Hydra reads it."""
    possible = kinds(kind)
    if NoneType in possible and value == "null":
        return None
    others = possible - {NoneType}
    kind = others.pop() if len(others) == 1 else Any
    if isinstance(value, list):
        item = (get_args(kind) or (Any,))[0]
        return [as_type(each, item) for each in value]
    if isinstance(value, dict):
        item = (get_args(kind) or (Any, Any))[1]
        return {text_value(key): as_type(each, item) for key, each in value.items()}
    return text_value(value) if kind is str else hydra_value(value)
