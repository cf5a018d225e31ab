"""A finished run's model, ready to predict: `tlplug.load(run).predict([...])`."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from tlplug import cache
from tlplug.base_model import find_base
from tlplug.config.reopen import Finished, reopen
from tlplug.contracts import (
    BaseInfo,
    LoadOptions,
    ModelSettings,
    Prediction,
    Row,
    TaskHead,
    UsageError,
)
from tlplug.module import in_order
from tlplug.precision import autocast, best_precision, hold_moving_in_float32
from tlplug.run_directory import HEAD, HEAD_VERSION

if TYPE_CHECKING:
    import torch
    from torch import nn
    from transformers import PreTrainedModel

MERGED = "merged"
BATCH_SIZE = 32
CHUNK = 16
"""Batches whose rows are sorted by length together; so many rows are held at a time."""


@dataclass(frozen=True)
class Adapted:
    """A model that a run has adapted, with its head and base model."""

    run: Finished
    head: TaskHead
    base: BaseInfo
    model: nn.Module
    device: torch.device
    precision: str

    def predict(
        self, inputs: Iterable[str | Mapping[str, Any]], batch_size: int = BATCH_SIZE
    ) -> list[Prediction]:
        """One prediction for each input, in their order.

        Args:
            inputs: rows with the head's columns (or the columns that the run's data had), targets left out; or
                texts, for the head's first column.

        Returns:
            Dicts with `id` (the input's position), `prediction` and what the head adds.

        Raises:
            UsageError: an input is not one that the head can read; says which.
        """
        return list(self.stream(inputs, batch_size))

    def stream(
        self,
        inputs: Iterable[str | Mapping[str, Any]],
        batch_size: int = BATCH_SIZE,
        place: Callable[[int], str] = lambda position: f"input {position + 1}",
    ) -> Iterator[Prediction]:
        """The same, one by one, while inputs come in; a few batches are held at a time.

        Where an input is wrong, those before it are predicted first.

        Args:
            place: an input's position -> where it stands, for errors.
        """
        rows = (self.row(given, position, place) for position, given in enumerate(inputs))
        wanted = batch_size * CHUNK
        while True:
            chunk, fault = taken(rows, wanted)
            if chunk:
                yield from self.of_rows(chunk, batch_size)
            if fault is not None:
                raise fault
            if len(chunk) < wanted:
                return

    def row(self, given: Any, position: int, place: Callable[[int], str]) -> Row:
        """An input as a row that the head has nothing against."""
        columns = self.run.data.columns
        names = [*self.head.columns, *self.head.optional_columns]
        wanted = [name for name in self.head.columns if name not in self.head.targets]
        if isinstance(given, str):
            given = {wanted[0]: given}
        if not isinstance(given, Mapping):
            raise UsageError(
                f"{place(position)} is {given!r}; expected a text or an object with {', '.join(wanted)}"
            )
        found = {
            name: given[key] for name in names for key in (columns.get(name, name), name) if key in given
        }
        if missing := [name for name in wanted if name not in found]:
            raise UsageError(
                f"{place(position)}: no column {', '.join(map(repr, missing))}; "
                f"it has: {', '.join(map(str, given)) or 'none'}"
            )
        row = {**found, "id": position}
        if problem := self.head.problem(row):
            raise UsageError(f"{place(position)}: {problem}")
        return row

    def of_rows(self, rows: Sequence[Row], batch_size: int = BATCH_SIZE) -> list[Prediction]:
        """Predictions for checked rows, each with an `id` of its own."""
        import torch

        features = sorted(
            self.head.encode(rows, self.base, False), key=lambda feature: -len(feature["input_ids"])
        )
        outputs: list[dict[str, Any]] = []
        with torch.inference_mode(), autocast(self.precision, self.device):
            for start in range(0, len(features), batch_size):
                batch = self.head.collate(features[start : start + batch_size], self.base)
                outputs += self.head.predict(self.model, on_device(batch, self.device))
        return self.head.decode(*in_order(outputs, rows), self.base)


def taken(rows: Iterator[Row], count: int) -> tuple[list[Row], UsageError | None]:
    """The next rows, at most so many, and what is wrong with the one after them."""
    chunk: list[Row] = []
    try:
        chunk.extend(islice(rows, count))
    except UsageError as fault:
        return chunk, fault
    return chunk, None


def on_device(batch: dict[str, Any], device: torch.device) -> dict[str, Any]:
    return {name: value.to(device) if hasattr(value, "to") else value for name, value in batch.items()}


def load(run: str | Path, overrides: Sequence[str] = (), trust: bool = False) -> Adapted:
    """The adapted model of a run directory, on the GPU where there is one.

    Args:
        overrides: `data.key=value` over what the run had.
        trust: import a class that the run's config names by its dotted path.

    Raises:
        UsageError: there is no such run, or something that it needs is not there.
    """
    import torch

    finished = reopen(Path(run), overrides, trust)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    precision = finished.trainer.precision
    head, base = bound_head(finished), base_of(finished.model, finished.data.max_length)
    if precision == "auto":
        precision = best_precision(device.type, base.dtype)
    options = finished.strategy.load_options(head)
    model = load_model(finished, head, base, options, device).to(device).eval()
    return Adapted(finished, head, base, model, device, precision)


def base_of(settings: ModelSettings, max_length: int | None = None) -> BaseInfo:
    """The base model, with the adaptation of the run `model.adapter` merged into it where one is named.

    Raises:
        UsageError: it is not there, or that run adapted another base model.
    """
    if settings.adapter is None:
        return find_base(settings, max_length)
    run = reopen(Path(settings.adapter).expanduser())
    if run.model.source != settings.source:
        raise UsageError(
            f"model.adapter={settings.adapter} adapted {run.model.source}, but model.source is {settings.source}"
        )
    folder = merged_folder(run)
    found = find_base(replace(settings, source=str(folder), sha256=None, adapter=None), max_length)
    return replace(found, source=f"{settings.source} adapted by {settings.adapter}")


def merged_folder(run: Finished) -> Path:
    """The run's model, merged in float32, in the cache; made where it is not there."""
    import torch

    head, base = bound_head(run), base_of(run.model, run.data.max_length)
    saved = {
        file.name: file.read_bytes()
        for file in sorted((run.folder / run.strategy.saves).glob("*.safetensors"))
    }
    digests = {name: hashlib.sha256(content).hexdigest() for name, content in saved.items()}
    folder = cache.cache_folder() / MERGED / cache.key_of({"base": base.fingerprint, "adapter": digests})
    if not folder.is_dir():
        loaded = load_model(run, head, replace(base, dtype="float32"), LoadOptions(), torch.device("cpu"))
        merged = cast("PreTrainedModel", run.strategy.merge(loaded))
        with cache.whole_folder(folder) as beside:
            merged.save_pretrained(beside)
            base.tokenizer.save_pretrained(beside)
    return folder


def bound_head(run: Finished) -> TaskHead:
    """The head with the labels and the decoding that the run found."""
    path = run.folder / HEAD
    if not path.is_file():
        raise UsageError(f"{run.folder} holds no {HEAD}: the run did not finish")
    known = json.loads(path.read_text(encoding="utf-8"))
    if known["version"] != HEAD_VERSION:
        raise UsageError(f"{path}: format version {known['version']}; this tlplug reads {HEAD_VERSION}")
    return run.head.with_labels(known["labels"]).with_decoding(known["decoding"])


def load_model(
    run: Finished, head: TaskHead, base: BaseInfo, options: LoadOptions, device: torch.device
) -> nn.Module:
    """The base model with its head, and what the run saved over it."""
    saved = run.folder / run.strategy.saves
    if not saved.is_dir():
        raise UsageError(f"{run.folder} holds no {run.strategy.saves}/: the run did not finish")
    if options.quantization is not None:
        options = replace(options, device=str(device))
    return hold_moving_in_float32(run.strategy.load(head.load_model(base, options), saved, base))
