"""Compute the output of the frozen prefix once for each example, before a fit."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import nn

from tlplug.data.datamodule import TransferData
from tlplug.data.feature_keys import plugin_identity
from tlplug.data.features import Features
from tlplug.interfaces import Batch, FrozenPrefix, Strategy
from tlplug.models.precision import autocast
from tlplug.runtime import cache, files
from tlplug.runtime.console import Reporter
from tlplug.runtime.distributed import barrier, rank
from tlplug.training.module import TransferModule
from tlplug.training.prefix_cache.check import (
    cacheable_prefix,
    count_empty_outputs,
    hidden_state,
    run_batch,
    why_not_cacheable,
)
from tlplug.training.prefix_cache.store import FORM, SPANS, STATES, PrefixStates, Recall, intact

KIND = "frozen"

log = logging.getLogger(__name__)


class ComputeOnce(Callback):
    """Compute the output of the strategy's frozen prefix for every example before a fit, or load it from the cache."""

    def __init__(self, strategy: Strategy, data: TransferData, reporter: Reporter) -> None:
        self.strategy = strategy
        self.data = data
        self.reporter = reporter

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        assert isinstance(pl_module, TransferModule)
        prefix = cacheable_prefix(pl_module)
        if prefix is None:
            return
        pl_module.to(trainer.strategy.root_device)
        parts = self.parts(pl_module, prefix, trainer)
        # Loaders draw a seed, and what moves has dropout: the training's random numbers must not depend on the cache.
        with torch.random.fork_rng([pl_module.device] if pl_module.device.type == "cuda" else []):
            states = {
                split: self.states(split, features, pl_module, prefix, parts, trainer)
                for split, features in self.data.features.items()
            }
        complete = {split: stored for split, stored in states.items() if stored is not None}
        if len(complete) == len(states):
            pl_module.recall = Recall(prefix, complete)

    def parts(self, module: TransferModule, prefix: FrozenPrefix, trainer: Trainer) -> dict[str, Any]:
        """Return what determines the prefix's output beside the features: its weights, its code, the number format."""
        return {
            "weights": weights_digest(prefix),
            "strategy": plugin_identity(self.strategy),
            "base": [module.base.config.to_json_string(), module.base.attention, module.base.dtype],
            "precision": [str(trainer.precision), module.device.type],
            "libraries": {name: version(name) for name in ("torch", "transformers")},
        }

    def states(
        self,
        split: str,
        features: Features,
        module: TransferModule,
        prefix: FrozenPrefix,
        parts: dict[str, Any],
        trainer: Trainer,
    ) -> PrefixStates | None:
        """Return the states of a split; None if they cannot be stored, which costs time and changes no result."""
        folder = cache.cache_folder() / KIND / cache.key_of({**parts, "features": features.key})
        if rank() == 0 and not intact(folder):
            reason = why_not_cacheable(module, prefix, self.data, split, str(trainer.precision))
            if reason is None:
                reason = self.fill_folder(split, folder, module, prefix)
            if reason is not None:
                log.warning("the frozen prefix is computed again in every epoch: %s", reason)
        barrier()
        return PrefixStates.open(folder, features, module.head.mask) if intact(folder) else None

    def fill_folder(
        self, split: str, folder: Path, module: TransferModule, prefix: FrozenPrefix
    ) -> str | None:
        """Write the states of a split into the folder; return the reason if that fails."""
        log.info("%s: computing the frozen prefix once for the %s rows", folder.name[:12], split)
        try:
            with self.reporter.progress(
                f"frozen prefix, {split}", len(self.data.features[split])
            ) as progress:
                compute(module, prefix, self.data, split, folder, progress)
        except OSError as error:
            return f"{folder} cannot be written ({error})"
        return None


def weights_digest(prefix: FrozenPrefix) -> str:
    """Return the SHA-256 of the prefix's weights and buffers."""
    digest = hashlib.sha256()
    for module in prefix.modules:
        for name, tensor in module.state_dict().items():
            if isinstance(tensor, torch.Tensor):
                digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
                digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().data)
    return digest.hexdigest()


class StopForward(Exception):
    """Ends a forward pass after the prefix's last module, with its output."""


def prefix_output(module: TransferModule, prefix: FrozenPrefix, split: str, batch: Batch) -> Any:
    """Return the output of the prefix's last module for a batch."""

    def stop(_: nn.Module, __: Any, output: Any) -> None:
        raise StopForward(output)

    handle = prefix.cacheable[-1].register_forward_hook(stop)
    try:
        run_batch(module, split, batch)
    except StopForward as stopped:
        return stopped.args[0]
    finally:
        handle.remove()
    raise RuntimeError(f"{type(prefix.cacheable[-1]).__name__}, the end of the frozen prefix, was not called")


def compute(
    module: TransferModule,
    prefix: FrozenPrefix,
    data: TransferData,
    split: str,
    folder: Path,
    progress: Callable[[int], None],
) -> None:
    """Run the prefix over a split and write its states, an example after the other.

    states.bin: rows of one width, one for each position that `head.mask` has, or where there is no mask one for each
    feature, flattened; spans.npy: where each feature's begin and end, [features, 2].
    """
    loader, precision = data.single_pass(split), str(module.trainer.precision)
    places = iter([place for together in loader.order for place in together])
    spans, at = np.zeros((len(data.features[split]), 2), np.int64), 0
    with files.atomic_cache_folder(folder) as beside:
        with (beside / STATES).open("wb") as file, torch.no_grad(), autocast(precision, module.device):
            for batch in loader:
                output = prefix_output(module, prefix, split, batch)
                states = hidden_state(output).cpu()
                mask = module.head.mask(batch)
                by_position = states.ndim == 3 and mask is not None
                for number, state in enumerate(states):
                    own = (
                        state[mask[number].bool()]
                        if mask is not None and by_position
                        else state.flatten()[None]
                    )
                    file.write(own.contiguous().view(torch.uint8).numpy().tobytes())
                    spans[next(places)] = at, at + len(own)
                    at += len(own)
                progress(len(states))
        np.save(beside / SPANS, spans)
        form = {
            "dtype": str(states.dtype).removeprefix("torch."),
            "width": states.shape[-1] if by_position else states[0].numel(),
            "shape": None if by_position else list(states.shape[1:]),
            "rest": count_empty_outputs(output),
            "bytes": (beside / STATES).stat().st_size,
        }
        (beside / FORM).write_text(json.dumps(form), encoding="utf-8")
