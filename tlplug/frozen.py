"""What runs before anything that moves is computed once for each example, and lies memory-mapped in the cache."""

from __future__ import annotations

import hashlib
import json
import logging
import shutil
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import asdict, dataclass
from importlib.metadata import version
from itertools import pairwise
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
STATES, SPANS, FORM = "states.bin", "spans.npy", "form.json"
AGREEMENT = 0.05
"""By how much of its size an example's state may differ with its neighbours: rounding in 16 bits is less."""

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
        # Loaders draw a seed, and what moves has dropout: the training's random numbers must not depend on the cache.
        with torch.random.fork_rng([pl_module.device] if pl_module.device.type == "cuda" else []):
            kept = {
                split: self.kept(split, features, pl_module, prefix, parts, trainer)
                for split, features in self.data.features.items()
            }
        if None not in kept.values():
            pl_module.recall = Recall(
                prefix, {split: found for split, found in kept.items() if found is not None}
            )

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
            "base": [module.base.config.to_json_string(), module.base.attention, module.base.dtype],
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
    ) -> Kept | None:
        """A split's states; None where they cannot be kept, which costs time and changes nothing."""
        folder = cache.cache_folder() / KIND / cache.key_of({**parts, "features": features.key})
        if rank() == 0 and not intact(folder):
            reason = fault(module, prefix, self.data, split, str(trainer.precision))
            if reason is None:
                reason = self.computed(split, folder, module, prefix, str(trainer.precision))
            if reason is not None:
                log.warning("the frozen part runs anew in every epoch: %s", reason)
        barrier()
        return Kept.opened(folder, features) if intact(folder) else None

    def computed(
        self, split: str, folder: Path, module: TransferModule, prefix: FrozenPrefix, precision: str
    ) -> str | None:
        """Fill the folder; why that could not be done."""
        log.info("%s: the frozen part runs over the %s rows once", folder.name[:12], split)
        try:
            with self.counting(f"frozen part, {split}", len(self.data.features[split])) as progress:
                compute(module, prefix, self.data, split, folder, precision, progress)
        except OSError as error:
            return f"{folder} cannot be written ({error})"
        return None


def intact(folder: Path) -> bool:
    """Whether the folder holds all that it says; what is damaged is reported and removed."""
    if not (folder / FORM).is_file():
        return False
    form = json.loads((folder / FORM).read_text(encoding="utf-8"))
    if (folder / STATES).stat().st_size == form["bytes"]:
        return True
    log.warning("%s is damaged; it is made again", folder)
    shutil.rmtree(folder)
    return False


def weights_digest(prefix: FrozenPrefix) -> str:
    """SHA-256 of everything that the prefix computes with."""
    found = hashlib.sha256()
    for module in prefix.modules:
        for name, tensor in module.state_dict().items():
            if isinstance(tensor, torch.Tensor):
                found.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
                found.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().data)
    return found.hexdigest()


def fault(
    module: TransferModule, prefix: FrozenPrefix, data: TransferData, split: str, precision: str
) -> str | None:
    """Why what the prefix gives cannot be kept; None where it can. Tried with the longest and the shortest example."""
    features = data.features[split]
    longest, shortest = (
        dict(features[int(at)]) for at in (features.lengths.argmax(), features.lengths.argmin())
    )
    together, alone = data.collate([longest, shortest]), data.collate([shortest])
    with autocast(precision, module.device):
        calls = watched(module, prefix, split, together)
        reason = fault_in(calls, prefix)
        if reason is not None:
            return reason
        state, apart = state_of(calls[-1][2]), state_of(watched(module, prefix, split, alone)[-1][2])
    if state.requires_grad:
        return "something moves in it or before it"
    if state.ndim == 3:
        state = state[:, together["attention_mask"][1].bool()]
        apart = apart[:, alone["attention_mask"][0].bool()]
    if (state[1] - apart[0]).norm() > AGREEMENT * apart.norm():
        return "what it gives for an example depends on more than the example, such as its padding"
    return None


Call = tuple[nn.Module, Any, Any]
"""A module, its first argument, its output."""


def watched(module: TransferModule, prefix: FrozenPrefix, split: str, batch: Batch) -> list[Call]:
    """The calls of the chain's modules while a batch goes through the whole model."""
    calls: list[Call] = []

    def note(called: nn.Module, given: Any, named: dict[str, Any], output: Any) -> None:
        calls.append((called, given[0] if given else named.get("hidden_states"), output))

    handles = [each.register_forward_hook(note, with_kwargs=True) for each in prefix.chain]
    try:
        asked(module, split, batch)
    finally:
        for handle in handles:
            handle.remove()
    return calls


def fault_in(calls: list[Call], prefix: FrozenPrefix) -> str | None:
    name = type(prefix.chain[-1]).__name__
    if [called for called, _, _ in calls] != list(prefix.chain):
        return f"its {name} modules are not called once and one after another"
    if any(rest(output) is None for _, _, output in calls):
        return f"{name} gives more than a tensor"
    if any(given is not state_of(before[2]) for before, (_, given, _) in pairwise(calls)):
        return f"its {name} modules are not given each other's outputs"
    return None


def rest(output: Any) -> int | None:
    """How many empty places stand after the state; -1 where there is no tuple, None where they are not empty."""
    if isinstance(output, torch.Tensor):
        return -1
    single = (
        isinstance(output, tuple)
        and isinstance(output[0], torch.Tensor)
        and not any(each is not None for each in output[1:])
    )
    return len(output) - 1 if single else None


def state_of(output: Any) -> torch.Tensor:
    found: torch.Tensor = output if isinstance(output, torch.Tensor) else output[0]
    return found


def asked(module: TransferModule, split: str, batch: Batch) -> None:
    ask = module.head.step if split == "train" else module.head.predict
    ask(module.model, module.transfer_batch_to_device(batch, module.device, 0))


class Reached(Exception):
    """The prefix's last module has given its output: nothing after it is needed."""


def reached(module: TransferModule, prefix: FrozenPrefix, split: str, batch: Batch) -> Any:
    """What the prefix's last module gives for a batch."""

    def stop(_: nn.Module, __: Any, output: Any) -> None:
        raise Reached(output)

    handle = prefix.chain[-1].register_forward_hook(stop)
    try:
        asked(module, split, batch)
    except Reached as found:
        return found.args[0]
    finally:
        handle.remove()
    raise RuntimeError(f"{type(prefix.chain[-1]).__name__}, the end of the frozen part, was not called")


def compute(
    module: TransferModule,
    prefix: FrozenPrefix,
    data: TransferData,
    split: str,
    folder: Path,
    precision: str,
    progress: Callable[[int], None],
) -> None:
    """Run the prefix over a split and write the states of its real tokens, an example after the other.

    states.bin: rows of one width; spans.npy: where each feature's begin and end, [features, 2].
    """
    loader = data.once(split)
    places = iter(list(loader.sampler))
    spans, at = np.zeros((len(data.features[split]), 2), np.int64), 0
    with cache.whole_folder(folder) as beside:
        with (beside / STATES).open("wb") as file, torch.no_grad(), autocast(precision, module.device):
            for batch in loader:
                output = reached(module, prefix, split, batch)
                states = state_of(output).cpu()
                for state, mask in zip(states, batch["attention_mask"].bool(), strict=True):
                    own = state[mask] if states.ndim == 3 else state[None]
                    file.write(own.contiguous().view(torch.uint8).numpy().tobytes())
                    spans[next(places)] = at, at + len(own)
                    at += len(own)
                progress(len(states))
        np.save(beside / SPANS, spans)
        form = {
            "dtype": str(states.dtype).removeprefix("torch."),
            "width": states.shape[-1],
            "dimensions": states.ndim,
            "rest": rest(output),
            "bytes": (beside / STATES).stat().st_size,
        }
        (beside / FORM).write_text(json.dumps(form), encoding="utf-8")


@dataclass(frozen=True)
class Kept:
    """The prefix's output for each feature of one split."""

    states: torch.Tensor
    """[rows, D], memory-mapped."""
    spans: np.ndarray
    """Where each feature's rows begin and end, [features, 2]."""
    dimensions: int
    """3: a row for each real token; 2: one for each feature."""
    names: np.ndarray
    """The features' ids and parts as one sortable number, [features], sorted."""
    places: np.ndarray
    """The positions that these have."""
    parts: int
    rest: int
    """Empty places after the state in what the prefix's modules give; -1 where that is no tuple."""

    @classmethod
    def opened(cls, folder: Path, features: Features) -> Kept:
        form = json.loads((folder / FORM).read_text(encoding="utf-8"))
        spans = np.load(folder / SPANS)
        width = form["width"]
        states = torch.from_file(
            str(folder / STATES), size=int(spans.max(initial=0)) * width, dtype=getattr(torch, form["dtype"])
        ).view(-1, width)
        identities, numbers = features.identities()
        parts = int(numbers.max(initial=0)) + 1
        names = identities * parts + numbers
        places = np.argsort(names, kind="stable")
        return cls(states, spans, form["dimensions"], names[places], places, parts, form["rest"])

    def of(self, batch: Batch) -> torch.Tensor:
        """The prefix's output for a batch, [B, T, D] or [B, D], on the batch's device; zeros where there is padding."""
        mask = batch["attention_mask"]
        identities = batch["id"].cpu().numpy()
        numbers = batch["part"].cpu().numpy() if "part" in batch else np.zeros_like(identities)
        places = self.places[np.searchsorted(self.names, identities * self.parts + numbers)]
        if self.dimensions == 2:
            return self.states[torch.from_numpy(self.spans[places, 0])].to(mask.device)
        rows = torch.cat([self.states[begin:end] for begin, end in self.spans[places]])
        padded = rows.new_zeros(*mask.shape, rows.shape[-1], device=mask.device)
        padded[mask.bool()] = rows.to(mask.device)
        return padded


class Recall:
    """Has what is kept in the place of the prefix while one batch goes through the model."""

    def __init__(self, prefix: FrozenPrefix, kept: dict[str, Kept]) -> None:
        self.kept = kept
        self.now: Any = None
        for module in prefix.chain:
            self._replace(module)

    @contextmanager
    def of(self, split: str, batch: Batch) -> Iterator[None]:
        kept = self.kept[split]
        state = kept.of(batch)
        self.now = state if kept.rest < 0 else (state, *[None] * kept.rest)
        try:
            yield
        finally:
            self.now = None

    def _replace(self, module: nn.Module) -> None:
        compute: Callable[..., Any] = module.forward

        def forward(*given: Any, **named: Any) -> Any:
            return compute(*given, **named) if self.now is None else self.now

        module.forward = forward
