"""Encoded examples on disk: encoded once for a content, memory-mapped after that."""

from __future__ import annotations

import hashlib
import inspect
import json
import logging
import os
import platform
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from functools import cached_property
from importlib.metadata import version
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

import numpy as np

from tlplug.data.readers.arrow_types import quiet_datasets
from tlplug.errors import UsageError
from tlplug.interfaces import BaseInfo, Row, Rows, TaskHead
from tlplug.runtime import cache
from tlplug.runtime.files import file_lock

if TYPE_CHECKING:
    from datasets import Dataset
    from transformers import PreTrainedTokenizerBase

KIND = "features"
FORM = 2
"""Of the files; another one has other keys."""
LENGTH = "__length__"
"""The column with `head.length` of each feature."""
CHUNK = 1000
"""Rows that are encoded at a time."""
LARGEST = 2**30
"""Bytes of arrays that are written at a time, but for those of a single feature: Arrow's offsets into bytes have 32 bits."""

log = logging.getLogger(__name__)


class Features(Sequence[Mapping[str, Any]]):
    """The features of one split, in the order of its rows.

    Args:
        stored: with the column `LENGTH` that `encode` adds; where there is none, each feature has the length 1.
    """

    def __init__(self, stored: Dataset, key: str) -> None:
        self.stored = stored.remove_columns([LENGTH]) if LENGTH in stored.column_names else stored
        self.key = key
        """Changes with anything that the features depend on."""
        self.arrays = [name for name, kind in self.stored.features.items() if is_array(kind)]
        """Names of what is a numpy array in each feature."""
        self._with_lengths = stored

    def __len__(self) -> int:
        return len(self.stored)

    @overload
    def __getitem__(self, index: int) -> Mapping[str, Any]: ...

    @overload
    def __getitem__(self, index: slice) -> Features: ...

    def __getitem__(self, index: int | slice) -> Mapping[str, Any] | Features:
        if isinstance(index, slice):
            chosen = self._with_lengths.select(range(*index.indices(len(self))))
            return Features(chosen, f"{self.key}{index}")
        return self._read(self.stored[index])

    def __getitems__(self, indices: list[int]) -> list[dict[str, Any]]:
        """A batch at once, which the loader asks for where it can."""
        return [self._read(feature) for feature in self.stored.__getitems__(indices)]

    def _read(self, feature: dict[str, Any]) -> dict[str, Any]:
        for name in self.arrays:
            feature[name] = array_of(feature[name])
        return feature

    @cached_property
    def lengths(self) -> np.ndarray:
        """The length of each feature as the head says, [n]."""
        if LENGTH not in self._with_lengths.column_names:
            return np.ones(len(self), np.int64)
        return self._with_lengths.select_columns(LENGTH).with_format("numpy")[:][LENGTH]  # type: ignore[no-any-return]

    def identities(self) -> tuple[np.ndarray, np.ndarray]:
        """Each feature's id and its part, which is 0 where it has none, [n] both."""
        names = [name for name in ("id", "part") if name in self.stored.column_names]
        columns = self.stored.select_columns(names).with_format("numpy")[:]
        return columns["id"], columns.get("part", np.zeros_like(columns["id"]))

    def of_rows(self, count: int) -> Features:
        """The features of the first `count` rows."""
        ids: list[int] = self.stored["id"][:]
        first = set(dict.fromkeys(ids)) if count >= len(ids) else set(list(dict.fromkeys(ids))[:count])
        return self[: sum(identity in first for identity in ids)]


def encode(
    head: TaskHead,
    rows: Rows,
    base: BaseInfo,
    training: bool,
    progress: Callable[[int], None] = lambda count: None,
) -> Features:
    """The rows as the head encodes them, from the cache where the same were encoded before.

    Args:
        progress: told how many rows have been done since it was last told.

    Raises:
        UsageError: the head gives features that are neither JSON types nor numpy arrays, or of other types than the
            first ones.
    """
    key = key_of(head, rows, base, training)
    path = cache.cache_folder() / KIND / f"{key}.arrow"
    with file_lock(path):
        known = opened(path) if path.is_file() else None
        if known is None:
            known = opened(stored(path, _chunks(head, rows, base, training, progress)))
    assert known is not None
    return Features(known, key)


def opened(path: Path) -> Dataset | None:
    """The stored features, memory-mapped; a damaged file is reported and made again."""
    from pyarrow import ArrowInvalid  # type: ignore[import-untyped]

    try:
        return quiet_datasets().Dataset.from_file(str(path))
    except (ArrowInvalid, OSError) as error:
        log.warning("%s is damaged (%s); it is made again", path, error)
        return None


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
        "rules": rules(tokenizer) if tokenizer.is_fast else base.fingerprint,
        "specials": tokenizer.special_tokens_map,
        "sides": [tokenizer.truncation_side, tokenizer.padding_side, tokenizer.model_input_names],
        "template": tokenizer.chat_template,
    }


def processor_parts(processor: Any) -> Any:
    """Return what an image processor or a feature extractor does, as it would be saved."""
    return None if processor is None else [type(processor).__qualname__, processor.to_dict()]


def rules(tokenizer: PreTrainedTokenizerBase) -> dict[str, Any]:
    """A fast tokenizer's vocabulary and rules, without the truncation and padding that its last call has left."""
    known: dict[str, Any] = json.loads(tokenizer.backend_tokenizer.to_str())
    return {name: value for name, value in known.items() if name not in ("truncation", "padding")}


def identity(plugin: Any) -> list[Any]:
    """What a plugin is, for a key: its class, the fields of its Config, its code."""
    cls = type(plugin)
    return [f"{cls.__module__}.{cls.__qualname__}", asdict(plugin.config), code_digest(cls)]


def code_digest(plugin: type) -> str:
    """SHA-256 of the class's file and of all that lies beside it in its package: a plugin may be several files."""
    file = Path(inspect.getfile(plugin))
    files = sorted(file.parent.rglob("*.py")) if "." in plugin.__module__ else [file]
    found = hashlib.sha256()
    for each in files:
        found.update(each.read_bytes())
    return found.hexdigest()


def digest(rows: Rows) -> str:
    """Return SHA-256 of the rows' content.

    Raises:
        UsageError: a row holds something of which no key can be made.
    """
    found = hashlib.sha256()
    try:
        for row in rows:
            found.update(cache.canonical_bytes(row))
    except TypeError as error:
        raise UsageError(f"the rows cannot be encoded: {error}") from error
    return found.hexdigest()


def _chunks(
    head: TaskHead, rows: Rows, base: BaseInfo, training: bool, progress: Callable[[int], None]
) -> Iterator[list[dict[str, Any]]]:
    remaining: Iterator[Row] = iter(rows)
    keys: set[str] = set()
    while chunk := list(islice(remaining, CHUNK)):
        features = head.encode(chunk, base, training)
        keys = keys or set(features[0])
        if other := next((feature for feature in features if set(feature) != keys), None):
            raise UsageError(f"the head gives features of different keys: {sorted(keys)} and {sorted(other)}")
        yield from pieces(features, head)
        progress(len(chunk))


def pieces(features: Iterable[Mapping[str, Any]], head: TaskHead) -> Iterator[list[dict[str, Any]]]:
    """Yield the features as Arrow takes them, in lists whose arrays have at most `LARGEST` bytes."""
    piece: list[dict[str, Any]] = []
    size = 0
    for feature in features:
        added = sum(value.nbytes for value in feature.values() if isinstance(value, np.ndarray))
        if piece and size + added > LARGEST:
            yield piece
            piece, size = [], 0
        piece.append(storable(feature, head.length(feature)))
        size += added
    yield piece


ARRAY = ("dtype", "shape", "bytes")
"""What a numpy array is stored as."""


def storable(feature: Mapping[str, Any], length: int) -> dict[str, Any]:
    """Return a feature as Arrow takes it, with its length."""
    arrays = {name: value for name, value in feature.items() if isinstance(value, np.ndarray)}
    packed = {
        name: dict(zip(ARRAY, (each.dtype.str, list(each.shape), each.tobytes()), strict=True))
        for name, each in arrays.items()
    }
    return {**feature, **packed, LENGTH: length}


def array_of(packed: Mapping[str, Any]) -> np.ndarray:
    """Return the array that `storable` packed; it cannot be written to."""
    dtype, shape, content = (packed[name] for name in ARRAY)
    return np.frombuffer(content, dtype).reshape(shape)


def is_array(feature: Any) -> bool:
    """Return whether a column of the Arrow file holds arrays: nothing else is stored as bytes."""
    return isinstance(feature, dict) and set(feature) == set(ARRAY) and feature["bytes"].dtype == "binary"


def stored(path: Path, chunks: Iterator[list[dict[str, Any]]]) -> Path:
    """Where the chunks lie now: `path`, or a temporary file where the cache cannot be written to."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        beside = path.with_name(f".{path.name}.{platform.node()}.{os.getpid()}")
        beside.touch()
    except OSError as error:
        log.warning("%s cannot be written (%s); the next run encodes again", path, error)
        handle, name = tempfile.mkstemp(suffix=".arrow")
        os.close(handle)
        write(Path(name), chunks)
        return Path(name)
    try:
        write(beside, chunks)
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)
    return path


def write(path: Path, chunks: Iterator[list[dict[str, Any]]]) -> None:
    """The chunks as an Arrow stream; its types are those of the first one."""
    import pyarrow as pa

    first = next(chunks, [])
    try:
        table = pa.Table.from_pylist(first)
        with pa.OSFile(str(path), "wb") as file, pa.ipc.new_stream(file, table.schema) as writer:
            writer.write_table(table)
            for chunk in chunks:
                writer.write_table(pa.Table.from_pylist(chunk, schema=table.schema))
    except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowCapacityError) as error:
        raise UsageError(f"the head's features cannot be stored: {error}") from error
