"""What in a config is a secret, by the name of its key. None reaches a file, a log or a service."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

HIDDEN = "***"
"""Stands where a secret was; `null` stays, for there was none."""

ANYWHERE = {"secret", "secrets", "password", "passwords", "passwd", "passphrase", "credential", "credentials"}
"""A word of a key that makes it a secret's wherever it stands."""
LAST = {"token", "key"}
"""The same at the end of a key, for what is before says what kind it is; `key_value_heads` is no key."""
KINDS_OF_TOKEN = {
    *("bos", "eos", "sep", "cls", "pad", "unk", "mask", "image", "audio", "start", "end", "stop", "next"),
    *("special", "memory", "virtual", "prompt", "first", "last", "per", "class", "separator", "padding"),
}
KINDS_OF_KEY = {
    *("stopping", "sort", "label", "text", "primary", "foreign", "group", "row", "column", "cache"),
    *("attention", "query", "public", "partition", "join", "metric", "by"),
}
OTHER_KINDS = {"token": KINDS_OF_TOKEN, "key": KINDS_OF_KEY}
COLUMNS = "columns"
"""The node whose keys are names of columns, and no settings."""

LOGIN = re.compile(r"(?<=://)[^/@\s]+(?=@)")
"""User and password in an address."""
IN_BRACES = re.compile(r"""(?P<key>['"]?[\w.]+['"]?)\s*:\s*(?P<value>[^,{}\s][^,{}]*)""")


def is_secret(key: str) -> bool:
    """Whether the value under a key is a secret: `hf_token`, `api_key`, not `pad_token`, `max_new_tokens`, `tokenizer`."""
    words = words_of(key)
    if ANYWHERE & set(words):
        return True
    if not words or words[-1] not in LAST:
        return False
    return len(words) == 1 or words[-2] not in OTHER_KINDS[words[-1]]


def words_of(key: str) -> list[str]:
    """The words of a name in snake_case, in kebab-case or in camelCase, in lower case."""
    apart = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", key)
    return [word for word in re.split(r"[^a-z0-9]+", apart.lower()) if word]


def redacted(config: Mapping[str, Any]) -> dict[str, Any]:
    """A copy in which `***` stands for each secret that is set, and for the login in an address."""
    return {key: redacted_value(key, value) for key, value in config.items()}


def redacted_value(key: str, value: Any) -> Any:
    # A flag is no secret, and neither is what was not set.
    if is_secret(key) and value not in (None, "") and not isinstance(value, bool):
        return HIDDEN
    if isinstance(value, Mapping):
        return dict(value) if key == COLUMNS else redacted(value)
    if isinstance(value, (list, tuple)):
        return [redacted_value("", item) for item in value]
    return LOGIN.sub(HIDDEN, value) if isinstance(value, str) else value


def redacted_words(words: Sequence[str]) -> list[str]:
    """The words of a command line in the same way: `head.api_key=***`."""
    return [redacted_word(word) for word in words]


def redacted_word(word: str) -> str:
    path, sign, value = word.partition("=")
    parts = path.lstrip("+~").split(".")
    if not sign or COLUMNS in parts[:-1] or parts[-1] == COLUMNS:
        return LOGIN.sub(HIDDEN, word)
    found = redacted_value(parts[-1], None if value == "null" else value)
    return word if found is None else f"{path}={IN_BRACES.sub(hide_in_braces, found)}"


def hide_in_braces(found: re.Match[str]) -> str:
    """`{api_key: x}` is a way to give a node by its keys."""
    hide = is_secret(found["key"].strip("'\"").rpartition(".")[2]) and found["value"].strip() != "null"
    return f"{found['key']}: {HIDDEN}" if hide else found[0]


def without_logins(text: str) -> str:
    """A message of a library, which may tell the whole address that it could not reach."""
    return LOGIN.sub(HIDDEN, text)


def hidden_keys(config: Mapping[str, Any], above: str = "") -> list[str]:
    """Dotted keys of the secrets that a config was redacted of, which have to be given again."""
    found: list[str] = []
    for key, value in config.items():
        if isinstance(value, Mapping):
            found += hidden_keys(value, f"{above}{key}.")
        elif any(is_hidden(item) for item in (value if isinstance(value, list) else [value])):
            found.append(f"{above}{key}")
    return found


def is_hidden(value: Any) -> bool:
    return isinstance(value, str) and (value == HIDDEN or f"://{HIDDEN}@" in value)
