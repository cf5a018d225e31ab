"""Collate features: pad them, or pack several short rows into one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch.nn.utils.rnn import pad_sequence

from tlplug import BaseInfo, Batch, UsageError, pad_batch
from tlplug_plugins.heads.generation.likelihood import token_logits
from tlplug_plugins.heads.generation.token_sequences import IGNORED

NAMES = ("id", "part", "input_ids", "attention_mask", "labels")
"""Of a feature, what the model or the core reads."""
Features = Sequence[Mapping[str, Any]]


def unpacked(features: Features, base: BaseInfo) -> Batch:
    """Pad features to a batch of `id` [B], `part` [B], `input_ids`, `attention_mask` and `labels`."""
    wanted = [{name: feature[name] for name in NAMES if name in feature} for feature in features]
    return pad_batch(wanted, base, {"labels": IGNORED})


def packed(features: Features, base: BaseInfo) -> Batch:
    """Rows put together into P rows as long as the longest of the batch (first-fit decreasing, Johnson 1973).

    Each [P, T]: `input_ids`, `attention_mask` (1 for real tokens), `labels`, and `position_ids`, which begin again
    with each row and are 0 for padding. `id` [B] is of the B rows. Flash attention tells rows apart only in a batch
    of one, which then has them all.
    """
    lengths = [len(feature["input_ids"]) for feature in features]
    bins = first_fit_decreasing(lengths, sum(lengths) if _flash(base) else max(lengths))

    def together(name: str, padding: int) -> torch.Tensor:
        return _stacked([[x for index in row for x in features[index][name]] for row in bins], padding)

    return {
        "input_ids": together("input_ids", base.tokenizer.pad_token_id),
        "attention_mask": together("attention_mask", 0),
        "labels": together("labels", IGNORED),
        "position_ids": _stacked([[x for i in row for x in range(lengths[i])] for row in bins], 0),
        "id": torch.tensor([feature["id"] for feature in features]),
    }


def first_fit_decreasing(lengths: Sequence[int], size: int) -> list[list[int]]:
    """Indices in bins of `size`: the longest first, each into the first bin that has room for it."""
    bins: list[list[int]] = []
    free: list[int] = []
    for index in sorted(range(len(lengths)), key=lambda index: -lengths[index]):
        place = next((place for place, room in enumerate(free) if room >= lengths[index]), len(bins))
        if place == len(bins):
            bins.append([])
            free.append(size)
        bins[place].append(index)
        free[place] -= lengths[index]
    return bins


def require_separate_rows(model: Any, base: BaseInfo) -> None:
    """Try out whether rows that are packed together do not see each other: not every architecture can do it.

    Flash attention separates by position ids in all of them, and cannot be tried on a CPU.

    Raises:
        UsageError: the second row's logits change with the first row.
    """
    if _flash(base):
        return
    vocabulary, training = model.config.get_text_config().vocab_size, model.training
    tokens = torch.tensor([[3, 5, 7, 9, 4, 6, 8, 2], [13, 15, 17, 19, 4, 6, 8, 2]]) % vocabulary
    positions = torch.tensor([[0, 1, 2, 3, 0, 1, 2, 3]], device=model.device)
    model.eval()
    with torch.no_grad():
        one, other = (
            token_logits(model, {"input_ids": row[None].to(model.device), "position_ids": positions})[0, 4:]
            for row in tokens
        )
    model.train(training)
    # Only rounding is let pass: experts work on other groups of tokens when the first row is another.
    rounding = max(1e-3, 8 * torch.finfo(one.dtype).eps)
    if (one - other).abs().max() > rounding * one.std():
        raise UsageError(
            f"head.packing: a {model.config.model_type} model lets rows that are packed together see each other; "
            "set head.packing=false"
        )


def _flash(base: BaseInfo) -> bool:
    return (base.attention or "").startswith("flash")


def _stacked(rows: Sequence[Sequence[int]], padding: int) -> torch.Tensor:
    tensors = [torch.tensor(row, dtype=torch.long) for row in rows]
    return pad_sequence(tensors, batch_first=True, padding_value=padding)
