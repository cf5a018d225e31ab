"""A model without its weights, for what can be told from its structure before anything is loaded."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from tlplug import BaseInfo, LoadOptions, TaskHead

if TYPE_CHECKING:
    from transformers import PreTrainedModel


def outline(base: BaseInfo, head: TaskHead) -> PreTrainedModel:
    """The base model with the head on it; its tensors have shapes and no content, so it takes neither memory nor time."""
    with torch.device("meta"):
        return head.load_model(base, LoadOptions(random_weights=True))
