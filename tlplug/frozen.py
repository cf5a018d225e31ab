"""What runs before anything that moves is computed once for each example, and lies memory-mapped in the cache."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import nn

from tlplug import cache
from tlplug.contracts import Batch, FrozenPrefix, Strategy
from tlplug.data.features import Features, code_digest
from tlplug.data.module import TransferData
from tlplug.module import TransferModule
from tlplug.precision import autocast
from tlplug.processes import barrier, rank

KIND = "frozen"
STATES, STARTS, FORM = "states.bin", "starts.npy", "form.json"

Counting = Callable[[str, int], AbstractContextManager[Callable[[int], None]]]
"""What is counted and how many of it -> what is told how many more are done."""

log = logging.getLogger(__name__)


def silent(what: str, count: int) -> AbstractContextManager[Callable[[int], None]]:
    return nullcontext(lambda done: None)


class ComputeOnce(Callback):
    """Before a fit, computes the output of the strategy's frozen prefix for every example, or finds it in the cache."""

    def __init__(self, strategy: Strategy, data: TransferData, counting: Counting = silent) -> None:
        self.strategy = strategy
        self.data = data
        self.counting = counting

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        assert isinstance(pl_module, TransferModule)
        prefix = self.strategy.frozen_prefix(pl_module.model)
        if prefix is None or not prefix.chain or not pl_module.head.one_pass or self.strategy.streams:
            return
        pl_module.to(trainer.strategy.root_device)
        parts = self.parts(pl_module, prefix, trainer)
        kept = {
            split: self.kept(split, features, pl_module, prefix, parts, trainer)
            for split, features in self.data.features.items()
        }
        pl_module.recall = Recall(prefix, kept)

    def parts(self, module: TransferModule, prefix: FrozenPrefix, trainer: Trainer) -> dict[str, Any]:
        """All that determines the prefix's output beside the features: its weights, its code, the number format."""
        cls = type(self.strategy)
        return {
            "weights": weights_digest(prefix),
            "strategy": [
                f"{cls.__module__}.{cls.__qualname__}",
                asdict(self.strategy.config),
                code_digest(cls),
            ],
            "base": [module.base.source, module.base.attention, module.base.dtype],
            "precision": [str(trainer.precision), module.device.type],
            "libraries": {name: version(name) for name in ("torch", "transformers")},
        }

    def kept(
        self,
        split: str,
        features: Features,
        module: TransferModule,
        prefix: FrozenPrefix,
        parts: dict[str, Any],
        trainer: Trainer,
    ) -> Kept:
        folder = cache.cache_folder() / KIND / cache.key_of({**parts, "features": features.key})
        if rank() == 0 and not (folder / FORM).is_file():
            log.info("%s: the frozen part runs over the %s rows once", folder.name[:12], split)
            with self.counting(f"frozen part, {split}", len(features)) as progress:
                compute(module, prefix, self.data, split, folder, str(trainer.precision), progress)
        barrier()
        return Kept.opened(folder, features)


def weights_digest(prefix: FrozenPrefix) -> str:
    """SHA-256 of everything that the prefix computes with."""
    found = hashlib.sha256()
    for module in prefix.modules:
        for name, tensor in module.state_dict().items():
            if isinstance(tensor, torch.Tensor):
                found.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
                found.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().data)
    return found.hexdigest()


class Reached(Exception):
    """The prefix's last module has given its output: nothing after it is needed."""


def compute(
    module: TransferModule,
    prefix: FrozenPrefix,
    data: TransferData,
    split: str,
    folder: Path,
    precision: str,
    progress: Callable[[int], None],
) -> None:
    """Run the prefix over a split and write, feature by feature in their order, the rows of its real tokens."""
    loader = data.once(split)
    found: dict[int, torch.Tensor] = {}
    at = 0
    order = list(loader.sampler)
    with torch.no_grad(), autocast(precision, module.device):
        for batch in loader:
            states = reached(module, prefix, split, batch).cpu()
            mask = batch["attention_mask"].bool()
            for row, position in enumerate(order[at : at + len(states)]):
                found[position] = states[row][mask[row]] if states.ndim == 3 else states[row : row + 1]
            at += len(states)
            progress(len(states))
    write(folder, [found[position] for position in range(len(order))], states.ndim)


def reached(module: TransferModule, prefix: FrozenPrefix, split: str, batch: Batch) -> torch.Tensor:
    """What the prefix's last module gives for a batch."""
    last = prefix.chain[-1]

    def stop(_: nn.Module, __: Any, output: Any) -> None:
        raise Reached(output)

    handle = last.register_forward_hook(stop)
    ask = module.head.step if split == "train" else module.head.predict
    try:
        ask(module.model, module.transfer_batch_to_device(batch, module.device, 0))
    except Reached as found:
        output: torch.Tensor = found.args[0]
        return output
    finally:
        handle.remove()
    raise RuntimeError(
        f"{type(last).__name__}, the end of the frozen prefix, was not called by {split} batches"
    )


def write(folder: Path, rows: list[torch.Tensor], dimensions: int) -> None:
    """states.bin: rows of one width, one after another; starts.npy: where each feature's begin, and the end."""
    first = rows[0]
    with cache.whole_folder(folder) as beside:
        with (beside / STATES).open("wb") as file:
            for tensor in rows:
                file.write(tensor.contiguous().view(torch.uint8).numpy().tobytes())
        np.save(beside / STARTS, np.cumsum([0, *(len(tensor) for tensor in rows)]))
        form = {
            "dtype": str(first.dtype).removeprefix("torch."),
            "width": first.shape[-1],
            "dimensions": dimensions,
        }
        (beside / FORM).write_text(json.dumps(form), encoding="utf-8")


@dataclass(frozen=True)
class Kept:
    """The prefix's output for each feature of one split."""

    states: torch.Tensor
    """[rows, D], memory-mapped."""
    starts: np.ndarray
    """Where each feature's rows begin, and the end: [features + 1]."""
    dimensions: int
    """3: a row for each real token; 2: one for each feature."""
    names: np.ndarray
    """The features' ids and parts as one sortable number, [features], sorted."""
    places: np.ndarray
    """The positions that these have."""
    parts: int

    @classmethod
    def opened(cls, folder: Path, features: Features) -> Kept:
        form = json.loads((folder / FORM).read_text(encoding="utf-8"))
        starts = np.load(folder / STARTS)
        width = form["width"]
        states = torch.from_file(
            str(folder / STATES), size=int(starts[-1]) * width, dtype=getattr(torch, form["dtype"])
        ).view(-1, width)
        identities, numbers = features.identities()
        parts = int(numbers.max(initial=0)) + 1
        names = identities * parts + numbers
        places = np.argsort(names, kind="stable")
        return cls(states, starts, form["dimensions"], names[places], places, parts)

    def of(self, batch: Batch) -> torch.Tensor:
        """The prefix's output for a batch, [B, T, D] or [B, D], on the batch's device; zeros where there is padding."""
        mask = batch["attention_mask"]
        identities = batch["id"].cpu().numpy()
        numbers = batch["part"].cpu().numpy() if "part" in batch else np.zeros_like(identities)
        places = self.places[np.searchsorted(self.names, identities * self.parts + numbers)]
        if self.dimensions == 2:
            return self.states[torch.from_numpy(places)].to(mask.device)
        rows = torch.cat([self.states[self.starts[place] : self.starts[place + 1]] for place in places])
        padded = rows.new_zeros(*mask.shape, rows.shape[-1], device=mask.device)
        padded[mask.bool()] = rows.to(mask.device)
        return padded


class Recall:
    """Has what is kept in the place of the prefix while one batch goes through the model."""

    def __init__(self, prefix: FrozenPrefix, kept: dict[str, Kept]) -> None:
        self.kept = kept
        self.now: torch.Tensor | None = None
        for module in prefix.chain[:-1]:
            self._replace(module, lambda *given: given[0])
        self._replace(prefix.chain[-1], lambda *given: self.now)

    @contextmanager
    def of(self, split: str, batch: Batch) -> Iterator[None]:
        self.now = self.kept[split].of(batch)
        try:
            yield
        finally:
            self.now = None

    def _replace(self, module: nn.Module, instead: Callable[..., Any]) -> None:
        compute: Callable[..., Any] = module.forward

        def forward(*given: Any, **named: Any) -> Any:
            if self.now is None:
                return compute(*given, **named)
            return instead(*given) if given else instead(named.get("hidden_states"))

        module.forward = forward
