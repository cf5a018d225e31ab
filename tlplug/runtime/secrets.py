"""Recognize secrets in a config by their keys and redact them, so that none reaches a file, a log or a service."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

HIDDEN = "***"
"""Replacement of a secret; `null` is not replaced, since no secret was set."""

SECRET_WORDS = {
    "secret", "secrets", "password", "passwords", "passwd", "passphrase", "credential", "credentials",
}  # fmt: skip
"""Words that make a key a secret's wherever they occur in it."""
SECRET_SUFFIXES = {"token", "key"}
"""Words that make a key a secret's at its end, unless the word before is one of OTHER_KINDS."""
KINDS_OF_TOKEN = {
    "bos", "eos", "sep", "cls", "pad", "unk", "mask", "image", "audio", "start", "end", "stop", "next",
    "special", "memory", "virtual", "prompt", "first", "last", "per", "class", "separator", "padding",
}  # fmt: skip
KINDS_OF_KEY = {
    "stopping", "sort", "label", "text", "primary", "foreign", "group", "row", "column", "cache",
    "attention", "query", "public", "partition", "join", "metric", "by",
}  # fmt: skip
OTHER_KINDS = {"token": KINDS_OF_TOKEN, "key": KINDS_OF_KEY}
COLUMNS = "columns"
"""The node whose keys are names of columns, not settings."""

LOGIN = re.compile(r"(?<=://)[^/@\s]+(?=@)")
"""User and password in an address."""
IN_BRACES = re.compile(r"""(?P<key>['"]?[\w.]+['"]?)\s*:\s*(?P<value>[^,{}\s][^,{}]*)""")


def is_secret(key: str) -> bool:
    """Return whether a key's value is a secret: `hf_token`, `api_key`, not `pad_token`, `max_new_tokens`, `tokenizer`."""
    words = split_words(key)
    if SECRET_WORDS & set(words):
        return True
    if not words or words[-1] not in SECRET_SUFFIXES:
        return False
    return len(words) == 1 or words[-2] not in OTHER_KINDS[words[-1]]


def split_words(key: str) -> list[str]:
    """Return the words of a name in snake_case, kebab-case or camelCase, in lower case."""
    snake_case = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", key)
    return [word for word in re.split(r"[^a-z0-9]+", snake_case.lower()) if word]


def redact(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return a copy with `***` in place of each secret that is set and of each login in an address."""
    return {key: redact_value(key, value) for key, value in config.items()}


def redact_value(key: str, value: Any) -> Any:
    # A flag or an unset value is not a secret.
    if is_secret(key) and value not in (None, "") and not isinstance(value, bool):
        return HIDDEN
    if isinstance(value, Mapping):
        return dict(value) if key == COLUMNS else redact(value)
    if isinstance(value, (list, tuple)):
        return [redact_value("", item) for item in value]
    return LOGIN.sub(HIDDEN, value) if isinstance(value, str) else value


def redact_overrides(words: Sequence[str]) -> list[str]:
    """Return the words of a command line with their secrets redacted: `head.api_key=***`."""
    return [redact_override(word) for word in words]


def redact_override(word: str) -> str:
    path, sign, value = word.partition("=")
    parts = path.lstrip("+~").split(".")
    if not sign or COLUMNS in parts[:-1] or parts[-1] == COLUMNS:
        return LOGIN.sub(HIDDEN, word)
    redacted = redact_value(parts[-1], None if value == "null" else value)
    return word if redacted is None else f"{path}={IN_BRACES.sub(redact_braces, redacted)}"


def redact_braces(match: re.Match[str]) -> str:
    """Return a key and value of a node in braces, `{api_key: x}`, with a secret redacted."""
    secret = is_secret(match["key"].strip("'\"").rpartition(".")[2]) and match["value"].strip() != "null"
    return f"{match['key']}: {HIDDEN}" if secret else match[0]


def redact_logins(text: str) -> str:
    """Redact the login in each address of a text, such as a library's message."""
    return LOGIN.sub(HIDDEN, text)


def list_redacted_keys(config: Mapping[str, Any], prefix: str = "") -> list[str]:
    """Return the dotted keys of a redacted config's secrets, which the user has to set again."""
    keys: list[str] = []
    for key, value in config.items():
        if isinstance(value, Mapping):
            keys += list_redacted_keys(value, f"{prefix}{key}.")
        elif any(is_redacted(item) for item in (value if isinstance(value, list) else [value])):
            keys.append(f"{prefix}{key}")
    return keys


def is_redacted(value: Any) -> bool:
    return isinstance(value, str) and (value == HIDDEN or f"://{HIDDEN}@" in value)
