"""The generators that a training draws from, of each process its own."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import torch

from tlplug.processes import gather, rank

States = dict[str, Any]


def random_states(device: torch.device) -> list[States]:
    """Those of every process, by rank, as plain types and tensors."""
    return gather([_own(device)])


def restore(states: list[States], device: torch.device) -> None:
    """This process's own."""
    own = states[rank()]
    version, words, gauss = own["python"]
    random.setstate((version, tuple(words), gauss))
    kind, keys, position, has_gauss, cached = own["numpy"]
    np.random.set_state((kind, keys.numpy().astype(np.uint32), position, has_gauss, cached))
    torch.set_rng_state(own["torch"])
    if device.type == "cuda":
        torch.cuda.set_rng_state(own["cuda"], device)


def _own(device: torch.device) -> States:
    version, words, gauss = random.getstate()
    kind, keys, position, has_gauss, cached = np.random.get_state(legacy=True)
    found: States = {
        "python": [version, list(words), gauss],
        # torch cannot hold uint32 in a checkpoint of plain types on every version; int64 holds all its values.
        "numpy": [
            kind,
            torch.from_numpy(np.asarray(keys, np.int64)),
            int(position),
            int(has_gauss),
            float(cached),
        ],
        "torch": torch.get_rng_state(),
    }
    return found | ({"cuda": torch.cuda.get_rng_state(device)} if device.type == "cuda" else {})
