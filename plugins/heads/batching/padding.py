"""Features of different lengths as one batch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tlplug import BaseInfo, Batch


def padded(
    features: Sequence[Mapping[str, Any]],
    base: BaseInfo,
    fill: Mapping[str, Any] | None = None,
    side: str = "right",
) -> Batch:
    """The tokenizer's inputs and the lists that `fill` names padded to the longest, [B, T, ...]; numbers stacked, [B].

    The tokenizer's own `pad` gives the same and takes many times as long, which counts where the model is frozen.

    Args:
        fill: name of a list with something for each token -> what stands at padding.
        side: on the right with decoders too, what stands at a token is found by counting from the first.
    """
    import numpy as np
    import torch

    tokenizer = base.tokenizer
    inputs = {
        "input_ids": tokenizer.pad_token_id,
        "attention_mask": 0,
        "token_type_ids": tokenizer.pad_token_type_id,
    }
    at_padding = {**inputs, **(fill or {})}
    batch: Batch = {}
    for name in features[0]:
        values = [feature[name] for feature in features]
        if name in at_padding:
            # A tensor of nested lists takes eight times as long to make as an array of them.
            batch[name] = torch.from_numpy(np.array(even(values, at_padding[name], side), np.int64))
        else:
            batch[name] = torch.tensor(values)
    return batch


def even(rows: list[list[Any]], filling: Any, side: str) -> list[list[Any]]:
    """The rows, all as long as the longest of them."""
    longest = max(map(len, rows))
    fillings = ([filling] * (longest - len(row)) for row in rows)
    return [row + more if side == "right" else more + row for row, more in zip(rows, fillings, strict=True)]
