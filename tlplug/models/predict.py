"""What a head says of rows, without a Trainer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tlplug.interfaces import BaseInfo, Rows, TaskHead
from tlplug.models.precision import on_device

if TYPE_CHECKING:
    import torch
    from torch import nn


def predictions_of(
    rows: Rows, head: TaskHead, model: nn.Module, base: BaseInfo, size: int, device: torch.device
) -> list[dict[str, Any]]:
    """What the head says of rows, one prediction each; the longest go first, `size` features at a time.

    Modes, gradients and precision are the caller's.
    """
    features = sorted(head.encode(rows, base, False), key=lambda feature: -head.length(feature))
    outputs: list[dict[str, Any]] = []
    for start in range(0, len(features), size):
        batch = head.collate(features[start : start + size], base)
        outputs += head.predict(model, on_device(batch, device))
    return head.decode(*in_order(outputs, rows), base)


def in_order(outputs: list[dict[str, Any]], rows: Rows) -> tuple[list[dict[str, Any]], Rows]:
    """The outputs of a split in the order of its rows, each part of each row once, and the rows that have any.

    Processes are given equal counts by repeating examples: by id and part, each counts once.
    """
    parts: dict[int, dict[int, dict[str, Any]]] = {}
    for output in outputs:
        parts.setdefault(output["id"], {})[output.get("part") or 0] = output
    seen = [row for row in rows if row["id"] in parts]
    return [found for row in seen for _, found in sorted(parts[row["id"]].items())], seen
