"""Encode examples once for each content, and map them from a file after that."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

import numpy as np

from tlplug.data.feature_keys import key_of
from tlplug.data.readers.arrow_types import quiet_datasets
from tlplug.errors import UsageError
from tlplug.interfaces import BaseInfo, Row, Rows, TaskHead
from tlplug.runtime import cache
from tlplug.runtime.files import atomic_file, file_lock

if TYPE_CHECKING:
    from datasets import Dataset

KIND = "features"
LENGTH = "__length__"
"""The column with `head.length` of each feature."""
CHUNK = 1000
"""Rows that are encoded at a time."""
LARGEST = 2**30
"""Bytes of arrays that are written at a time, but for those of a single feature: Arrow's offsets into bytes have 32 bits."""


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
        """Return a batch; torch's loader calls it."""
        return [self._read(feature) for feature in self.stored.__getitems__(indices)]

    def _read(self, feature: dict[str, Any]) -> dict[str, Any]:
        for name in self.arrays:
            feature[name] = array_of(feature[name])
        return feature

    @cached_property
    def lengths(self) -> np.ndarray:
        """The length of each feature by `head.length`, [n]."""
        if LENGTH not in self._with_lengths.column_names:
            return np.ones(len(self), np.int64)
        return self._with_lengths.select_columns(LENGTH).with_format("numpy")[:][LENGTH]  # type: ignore[no-any-return]

    def identities(self) -> tuple[np.ndarray, np.ndarray]:
        """Return each feature's id and its part, which is 0 where it has none, [n] both."""
        names = [name for name in ("id", "part") if name in self.stored.column_names]
        columns = self.stored.select_columns(names).with_format("numpy")[:]
        return columns["id"], columns.get("part", np.zeros_like(columns["id"]))

    def of_rows(self, count: int) -> Features:
        """Return the features of the first `count` rows."""
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
    """Encode the rows with the head, or read them from the cache where the same rows were encoded before.

    Args:
        progress: called with the number of rows that were encoded since the last call.

    Raises:
        UsageError: the head gives features that are neither JSON types nor numpy arrays, or of other types than the
            first ones.
    """
    key = key_of(head, rows, base, training)
    path = cache.cache_folder() / KIND / f"{key}.arrow"
    with file_lock(path):
        stored = cache.load_file(path, read)
        if stored is None:
            writable = cache.writable_path(path)
            with atomic_file(writable, durable=False) as temporary:
                write(temporary, _chunks(head, rows, base, training, progress))
            stored = read(writable)
    return Features(stored, key)


def read(path: Path) -> Dataset:
    """Return the stored features, memory-mapped."""
    return quiet_datasets().Dataset.from_file(str(path))


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
"""The fields that a numpy array is stored in."""


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


def write(path: Path, chunks: Iterator[list[dict[str, Any]]]) -> None:
    """Write the chunks as an Arrow stream, with the types of the first one."""
    import pyarrow as pa  # type: ignore[import-untyped]

    first = next(chunks, [])
    try:
        table = pa.Table.from_pylist(first)
        with pa.OSFile(str(path), "wb") as file, pa.ipc.new_stream(file, table.schema) as writer:
            writer.write_table(table)
            for chunk in chunks:
                writer.write_table(pa.Table.from_pylist(chunk, schema=table.schema))
    except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowCapacityError) as error:
        raise UsageError(f"the head's features cannot be stored: {error}") from error
