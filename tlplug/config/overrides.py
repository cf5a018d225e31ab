"""Parse `key=value` arguments into Hydra's overrides."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import (
    ChoiceSweep,
    Override,
    OverrideType,
    Quote,
    QuotedString,
    ValueType,
)
from hydra.errors import HydraException

from tlplug.config.choices import GROUPS
from tlplug.config.values import hydra_value, read_value, text_value
from tlplug.errors import UsageError
from tlplug.settings import OPEN

SHORT = {
    "data.target_domain": "data.target_domain.path",
    "transfer.source_domain": "transfer.source_domain.path",
}
"""Nodes that a user can set by their path alone."""


def normalised(word: str) -> str:
    """Return the argument with one spelling: `+key=`, `++key=` and `key=` mean the same, since keys are checked."""
    bare = word.lstrip("+")
    key, sign, value = bare.partition("=")
    if key in SHORT:
        bare = f"{SHORT[key]}{sign}{value}"
    return f"++{bare}" if bare.startswith(OPEN) else bare


def parse(words: Sequence[str]) -> list[Override]:
    """Return the overrides of arguments. A value that Hydra's grammar refuses is read by `read_value`.

    Raises:
        UsageError: a word is not `key=value`.
    """
    return [parse_word(word) for word in words]


def parse_word(word: str) -> Override:
    """Return the override of one argument (see `parse`)."""
    if "=" not in word and not word.startswith("~"):
        raise UsageError(f"'{word}' is neither a command nor key=value; `python -m tlplug --help` shows both")
    try:
        try:
            return spelt_as_typed(OverridesParser.create().parse_override(word))
        except HydraException:
            if "=" not in word:
                raise
            return parse_text(word)
    except (HydraException, ValueError, RecursionError) as error:
        # A number of thousands of digits, or lists in lists: Hydra leaves both to Python.
        raise UsageError(f"cannot read '{word[:60]}': {first_line(error)}") from error


def parse_text(word: str) -> Override:
    """Return the override of an argument that is outside of Hydra's grammar."""
    key, _, value = word.partition("=")
    values = read_value(value)
    several = len(values) > 1
    override = Override(
        type=OverrideType.FORCE_ADD if key.startswith("++") else OverrideType.CHANGE,
        key_or_group=key.lstrip("+"),
        value_type=ValueType.SIMPLE_CHOICE_SWEEP if several else ValueType.ELEMENT,
        _value=ChoiceSweep(list=quoted(values), simple_form=True) if several else quoted(values[0]),
        input_line=word,
    )
    return spelt_as_typed(override)


def spelt_as_typed(override: Override) -> Override:
    """Return a sweep's override with its numbers as they were typed, since a field may take them for texts: `1e5`."""
    sweep = override.value()
    if isinstance(sweep, ChoiceSweep) and sweep.simple_form:
        typed = read_value(override.get_value_string())
        if len(typed) == len(sweep.list):
            sweep.list = [
                raw if isinstance(each, int | float) and isinstance(raw, str) else each
                for each, raw in zip(sweep.list, typed, strict=True)
            ]
    return override


def quoted(value: Any) -> Any:
    """Return a value of `read_value` as Hydra holds it: numbers as such, and texts but keys in quotes."""
    if isinstance(value, list):
        return [quoted(item) for item in value]
    if isinstance(value, dict):
        return {text_value(key): quoted(item) for key, item in value.items()}
    read = hydra_value(value)
    return QuotedString(read, Quote.single) if isinstance(read, str) else read


def as_text(override: Override) -> str:
    """Return the argument as it is typed in a shell where its whole value is one text."""
    text = override.get_value_string().replace("${", "\\${")
    word = f"{override.key_or_group}={QuotedString(text, Quote.double).with_quotes()}"
    return shlex.quote(word)


def values(override: Override) -> list[Any]:
    """Return the value, or each value of a sweep."""
    if override.is_sweep_override():
        return [item.removeprefix("'") for item in override.sweep_string_iterator()]
    return [override.value()]


def first_choice(override: Override) -> str:
    """Return the override with the first value of a sweep, which is enough to list the keys."""
    if not override.is_sweep_override():
        return str(override.input_line)
    return f"{override.get_key_element()}={next(iter(override.sweep_string_iterator()))}"


def group_of(override: Override) -> str:
    """Return the key without its prefix: `strategy` of `strategy=lora`, `seed` of `++seed=1`."""
    return str(override.get_key_element().lstrip("~+"))


def chosen(overrides: Sequence[Override]) -> list[Override]:
    """Return the overrides that make a choice: `strategy=lora`."""
    return [o for o in overrides if group_of(o) in GROUPS and not o.is_hydra_override()]


def typed(overrides: Sequence[Override]) -> list[Override]:
    """Return the overrides that set a key: `strategy.r=4`."""
    return [o for o in overrides if group_of(o) not in GROUPS and not o.is_hydra_override()]


def first_line(error: BaseException) -> str:
    """Return the first line of an error's message."""
    return (str(error).splitlines() or [""])[0]
