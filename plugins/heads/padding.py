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

    The tokenizer's own `pad` gives the same and takes five times as long, which counts where the model is frozen.

    Args:
        fill: name of a list with something for each token -> what stands at padding.
        side: on the right with decoders too, what stands at a token is found by counting from the first.
    """
    import torch
    from torch.nn.utils.rnn import pad_sequence

    tokenizer = base.tokenizer
    inputs = {
        "input_ids": tokenizer.pad_token_id,
        "attention_mask": 0,
        "token_type_ids": tokenizer.pad_token_type_id,
    }
    at_padding = {**inputs, **(fill or {})}
    length = max(len(feature["input_ids"]) for feature in features)
    batch: Batch = {}
    for name in features[0]:
        values = [feature[name] for feature in features]
        if name not in at_padding:
            batch[name] = torch.tensor(values)
        elif isinstance(at_padding[name], int):
            rows = [torch.tensor(value) for value in values]
            batch[name] = pad_sequence(rows, True, at_padding[name], padding_side=side)
        else:
            batch[name] = torch.tensor([row + [at_padding[name]] * (length - len(row)) for row in values])
    return batch
