"""Features of different lengths as one batch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tlplug import BaseInfo, Batch


def padded_right(features: Sequence[Mapping[str, Any]], base: BaseInfo, fill: Mapping[str, Any]) -> Batch:
    """The tokenizer's inputs and the lists that `fill` names padded to the longest, [B, T, ...]; numbers stacked, [B].

    On the right with decoders too: what stands at a token is then found by counting from the first.

    Args:
        fill: name of a list with something for each token -> what stands at padding.
    """
    import torch

    names = base.tokenizer.model_input_names
    inputs = [{name: feature[name] for name in names if name in feature} for feature in features]
    batch = dict(base.tokenizer.pad(inputs, padding="longest", padding_side="right", return_tensors="pt"))
    length = batch["input_ids"].shape[1]
    for name in features[0]:
        if name in fill:
            batch[name] = torch.tensor(
                [feature[name] + [fill[name]] * (length - len(feature[name])) for feature in features]
            )
        elif name not in names:
            batch[name] = torch.tensor([feature[name] for feature in features])
    return batch
