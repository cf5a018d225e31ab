"""The secrets that a run's config was written without, given again."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from tlplug.config.build import plain
from tlplug.config.compose import normalised, parse
from tlplug.errors import UsageError
from tlplug.secrets import hidden_keys


def give(config: DictConfig, words: Sequence[str], folder: Path) -> None:
    """Put each secret where it was; nothing else of a run that was begun can be another.

    Args:
        words: `key=value` of each.

    Raises:
        UsageError: one is lacking, or a word is about something else.
    """
    hidden = hidden_keys(plain(config))
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
    if lacking := [key for key in hidden_keys(plain(config)) if key in hidden]:
        again = " ".join(f"{key}=..." for key in lacking)
        raise UsageError(
            f"{folder} was written without its secrets; give {', '.join(lacking)} again: "
            f"python -m tlplug resume {shlex.quote(str(folder))} {again}"
        )
