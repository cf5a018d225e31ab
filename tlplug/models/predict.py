"""Predict rows with a head, without a Trainer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tlplug.interfaces import BaseInfo, Rows, TaskHead
from tlplug.models.precision import to_device

if TYPE_CHECKING:
    import torch
    from torch import nn


def predict_rows(
    rows: Rows, head: TaskHead, model: nn.Module, base: BaseInfo, size: int, device: torch.device
) -> list[dict[str, Any]]:
    """Return the head's prediction for each row, computed in batches of `size` features, the longest first.

    The caller sets evaluation mode, gradients and precision.
    """
    features = sorted(head.encode(rows, base, False), key=lambda feature: -head.length(feature))
    outputs: list[dict[str, Any]] = []
    for start in range(0, len(features), size):
        batch = head.collate(features[start : start + size], base)
        outputs += head.predict(model, to_device(batch, device))
    return head.decode(*order_outputs(outputs, rows), base)


def order_outputs(outputs: list[dict[str, Any]], rows: Rows) -> tuple[list[dict[str, Any]], Rows]:
    """Return the outputs in the order of the rows, each part of each row once, and the rows that have outputs.

    A distributed sampler repeats examples to give all processes equally many, so an id and part can occur twice.
    """
    parts: dict[int, dict[int, dict[str, Any]]] = {}
    for output in outputs:
        parts.setdefault(output["id"], {})[output.get("part") or 0] = output
    predicted = [row for row in rows if row["id"] in parts]
    return [output for row in predicted for _, output in sorted(parts[row["id"]].items())], predicted
