"""Features of a bare base model, which every run over the same rows has in common."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from importlib.metadata import version
from typing import Any

import numpy as np

from tlplug import cache
from tlplug.contracts import BaseInfo, LoadOptions

KIND = "base_features"
LIBRARIES = ("tlplug", "torch", "transformers")

log = logging.getLogger(__name__)


def key_for(
    base: BaseInfo, options: LoadOptions, encoded: Sequence[dict[str, Any]], computed: Sequence[Any]
) -> str:
    """A hash of what determines them: the weights as they are loaded, the tokens, how it is computed.

    Args:
        computed: device, precision, rows of a batch.
    """
    quantization = options.quantization
    return cache.key_of(
        {
            "base": [base.fingerprint, base.dtype, base.attention],
            "quantization": None if quantization is None else quantization.to_dict(),
            "tokens": [feature["input_ids"] for feature in encoded],
            "computed": list(computed),
            "libraries": {name: version(name) for name in LIBRARIES},
        }
    )


def recalled(key: str, compute: Callable[[], np.ndarray]) -> np.ndarray:
    """What an earlier run computed; else computed now and kept."""
    path = cache.cache_folder() / KIND / f"{key}.npy"
    if path.is_file():
        try:
            known: np.ndarray = np.load(path, allow_pickle=False)
        except (ValueError, EOFError, OSError) as error:
            log.warning("%s is damaged (%s); it is made again", path, error)
        else:
            log.info("features of the base model come from an earlier run")
            return known
    found = compute()
    try:
        with cache.whole_file(path, lasting=False) as beside, beside.open("wb") as file:
            np.save(file, found)
    except OSError as error:
        log.warning("%s cannot be written (%s); the next run makes it again", path, error)
    return found
