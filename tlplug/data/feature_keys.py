"""Hash what features, and the results of plugins, depend on."""

from __future__ import annotations

import hashlib
import inspect
import json
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tlplug.errors import UsageError
from tlplug.interfaces import BaseInfo, Rows, TaskHead
from tlplug.runtime import cache

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

FORM = 2
"""Of the files; another one has other keys."""


def key_of(head: TaskHead, rows: Rows, base: BaseInfo, training: bool) -> str:
    """Return a hash of all that determines the features: the rows, the head and its code, the processor."""
    parts = {
        "form": FORM,
        "head": [f"{type(head).__module__}.{type(head).__qualname__}", asdict(head.config), head.state],
        "code": code_digest(type(head)),
        "processor": tokenizer_parts(base) if base.has_tokenizer else processor_parts(base.processor),
        "transformers": version("transformers"),
        "base": [base.config.model_type, base.kind, base.max_length],
        "training": training,
        "rows": digest(rows),
    }
    return cache.key_of(parts)


def tokenizer_parts(base: BaseInfo) -> dict[str, Any]:
    tokenizer = base.tokenizer
    return {
        "rules": tokenizer_state(tokenizer) if tokenizer.is_fast else base.fingerprint,
        "specials": tokenizer.special_tokens_map,
        "sides": [tokenizer.truncation_side, tokenizer.padding_side, tokenizer.model_input_names],
        "template": tokenizer.chat_template,
    }


def processor_parts(processor: Any) -> Any:
    """Return what an image processor or a feature extractor does, as it would be saved."""
    return None if processor is None else [type(processor).__qualname__, processor.to_dict()]


def tokenizer_state(tokenizer: PreTrainedTokenizerBase) -> dict[str, Any]:
    """Return a fast tokenizer's vocabulary and rules, without the truncation and padding of its last call."""
    state: dict[str, Any] = json.loads(tokenizer.backend_tokenizer.to_str())
    return {name: value for name, value in state.items() if name not in ("truncation", "padding")}


def plugin_identity(plugin: Any) -> list[Any]:
    """Return a plugin's class, the fields of its Config and its code, for a key."""
    cls = type(plugin)
    return [f"{cls.__module__}.{cls.__qualname__}", asdict(plugin.config), code_digest(cls)]


def code_digest(plugin: type) -> str:
    """Return SHA-256 of the class's file and of its neighbours in the package: a plugin may be several files."""
    file = Path(inspect.getfile(plugin))
    files = sorted(file.parent.rglob("*.py")) if "." in plugin.__module__ else [file]
    result = hashlib.sha256()
    for each in files:
        result.update(each.read_bytes())
    return result.hexdigest()


def digest(rows: Rows) -> str:
    """Return SHA-256 of the rows' content.

    Raises:
        UsageError: a row holds something of which no key can be made.
    """
    result = hashlib.sha256()
    try:
        for row in rows:
            result.update(cache.canonical_bytes(row))
    except TypeError as error:
        raise UsageError(f"the rows cannot be encoded: {error}") from error
    return result.hexdigest()
