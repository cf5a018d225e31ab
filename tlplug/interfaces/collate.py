"""Make a batch of features of different lengths."""

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

    A tokenizer's own `pad` gives the same and takes many times as long, which counts where the model is frozen.

    Args:
        fill: name of a list with something for each token -> what stands at padding; the tokenizer's inputs have theirs.
        side: on the right with decoders too, what stands at a token is found by counting from the first.
    """
    at_padding = {**tokenizer_fill(base), **(fill or {})}
    return {
        name: _stacked([feature[name] for feature in features], at_padding.get(name), side)
        for name in features[0]
    }


def tokenizer_fill(base: BaseInfo) -> dict[str, int]:
    """Return what stands at the padding of a tokenizer's inputs; nothing where the base model has no tokenizer."""
    if not base.has_tokenizer:
        return {}
    tokenizer = base.tokenizer
    return {
        "input_ids": tokenizer.pad_token_id,
        "attention_mask": 0,
        "token_type_ids": tokenizer.pad_token_type_id,
    }


def _stacked(values: list[Any], filling: Any, side: str) -> Any:
    import numpy as np
    import torch

    if filling is not None:
        # A tensor of nested lists takes eight times as long to make as an array of them.
        return torch.from_numpy(np.array(_even(values, filling, side), np.int64))
    if isinstance(values[0], np.ndarray):
        return torch.from_numpy(np.stack(values))
    if isinstance(values[0], list) and len({len(value) for value in values}) > 1:
        return torch.tensor(_even(values, 0, side))
    return torch.tensor(values)


def _even(rows: list[list[Any]], filling: Any, side: str) -> list[list[Any]]:
    longest = max(map(len, rows))
    fillings = ([filling] * (longest - len(row)) for row in rows)
    return [row + more if side == "right" else more + row for row, more in zip(rows, fillings, strict=True)]
