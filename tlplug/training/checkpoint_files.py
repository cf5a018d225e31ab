"""Write and find checkpoints, with the state of the random generators."""

from __future__ import annotations

import logging
import pickle
import random
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning.fabric.plugins import CheckpointIO

from tlplug.runtime import files
from tlplug.runtime.distributed import gather, rank

FOLDER = "checkpoints"
LAST, BEST = "step", "best"
UNREADABLE = (OSError, RuntimeError, EOFError, KeyError, ValueError, pickle.UnpicklingError)
"""Errors of `torch.load` for a file that is damaged or holds other objects than plain types."""

log = logging.getLogger(__name__)


class AtomicCheckpointIO(CheckpointIO):
    """Writes checkpoints atomically: the old file stays until the new one is complete.

    A checkpoint that cannot be written, on a full disk for instance, is a warning: the training continues.
    """

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        try:
            with files.atomic_file(Path(path)) as beside, beside.open("wb") as file:
                torch.save(checkpoint, file)
        except (OSError, RuntimeError) as error:
            # On a full disk torch reports that its writer failed; the context has the reason.
            reason = error.__context__ if isinstance(error.__context__, OSError) else error
            log.warning(
                "%s could not be written (%s); earlier checkpoints are unchanged", path, first_line(reason)
            )

    def load_checkpoint(self, path: Any, map_location: Any = None, weights_only: bool | None = None) -> Any:
        return torch.load(path, map_location="cpu", weights_only=True)

    def remove_checkpoint(self, path: Any) -> None:
        Path(path).unlink(missing_ok=True)


def first_line(error: BaseException) -> str:
    return f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}".rstrip(": ")


def checkpoint_path(folder: Path, kind: str, step: int) -> Path:
    return folder / f"{kind}-{step}.ckpt"


def checkpoints_by_step(folder: Path, kind: str) -> dict[int, Path]:
    """Return the checkpoints of a folder by their optimizer steps, the latest first."""
    paths = {
        int(match[1]): path
        for path in folder.glob(f"{kind}-*.ckpt")
        if (match := re.fullmatch(rf"{kind}-(\d+)\.ckpt", path.name))
    }
    return dict(sorted(paths.items(), reverse=True))


def newest(folder: Path) -> int | None:
    """Return the optimizer step to resume from; None if there is none."""
    return next(iter(checkpoints_by_step(folder, LAST)), None)


def readable_checkpoints(folder: Path) -> Iterator[tuple[Path, dict[str, Any]]]:
    """Yield the readable checkpoints, the latest first; log a warning for each damaged one."""
    for path in checkpoints_by_step(folder, LAST).values():
        try:
            yield path, torch.load(path, map_location="cpu", weights_only=True, mmap=True)
        except UNREADABLE as error:
            log.warning("%s cannot be resumed from (%s)", path, first_line(error))


States = dict[str, Any]


def random_states(device: torch.device) -> list[States]:
    """Return the random states of every process, by rank, as plain types and tensors."""
    return gather([own_random_state(device)])


def restore(states: list[States], device: torch.device) -> None:
    """Restore the random states of this process."""
    own = states[rank()]
    version, words, gauss = own["python"]
    random.setstate((version, tuple(words), gauss))
    kind, keys, position, has_gauss, cached = own["numpy"]
    np.random.set_state((kind, keys.numpy().astype(np.uint32), position, has_gauss, cached))
    torch.set_rng_state(own["torch"])
    if device.type == "cuda":
        torch.cuda.set_rng_state(own["cuda"], device)


def own_random_state(device: torch.device) -> States:
    version, words, gauss = random.getstate()
    kind, keys, position, has_gauss, cached = np.random.get_state(legacy=True)
    states: States = {
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
    return states | ({"cuda": torch.cuda.get_rng_state(device)} if device.type == "cuda" else {})
