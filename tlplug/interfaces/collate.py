"""Collate features of different lengths into a batch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tlplug.interfaces.types import BaseInfo, Batch


def pad_batch(
    features: Sequence[Mapping[str, Any]],
    base: BaseInfo,
    fill: Mapping[str, Any] | None = None,
    side: str = "right",
) -> Batch:
    """Pad lists to the longest, [B, T, ...], and stack arrays and numbers, [B, ...].

    A tokenizer's own `pad` gives the same result but takes many times as long, which matters for a frozen model.

    Args:
        fill: padding values by the name of the feature's list; the tokenizer's inputs have theirs by default.
        side: `right` or `left`. On the right, also for decoders, positions count from a text's first token.
    """
    values = {**tokenizer_fill(base), **(fill or {})}
    return {
        name: _stack([feature[name] for feature in features], values.get(name), side) for name in features[0]
    }


def tokenizer_fill(base: BaseInfo) -> dict[str, int]:
    """Return the padding values of a tokenizer's inputs by name; empty where the base model has no tokenizer."""
    if not base.has_tokenizer:
        return {}
    tokenizer = base.tokenizer
    return {
        "input_ids": tokenizer.pad_token_id,
        "attention_mask": 0,
        "token_type_ids": tokenizer.pad_token_type_id,
    }


def _stack(values: list[Any], fill: Any, side: str) -> Any:
    import numpy as np
    import torch

    if fill is not None:
        # Converting nested lists to a tensor takes eight times as long as to an array.
        return torch.from_numpy(np.array(_pad(values, fill, side), np.int64))
    if isinstance(values[0], np.ndarray):
        return torch.from_numpy(np.stack(values))
    if isinstance(values[0], list) and len({len(value) for value in values}) > 1:
        return torch.tensor(_pad(values, 0, side))
    return torch.tensor(values)


def _pad(rows: list[list[Any]], fill: Any, side: str) -> list[list[Any]]:
    longest = max(map(len, rows))
    paddings = ([fill] * (longest - len(row)) for row in rows)
    return [
        row + padding if side == "right" else padding + row
        for row, padding in zip(rows, paddings, strict=True)
    ]
