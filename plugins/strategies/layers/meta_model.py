"""A model without its weights, for what can be told from its structure before anything is loaded."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from tlplug import BaseInfo

if TYPE_CHECKING:
    from transformers import PreTrainedModel


def outline(base: BaseInfo) -> PreTrainedModel:
    """The base model without a head; its tensors have shapes and no content, so it takes neither memory nor time."""
    from transformers import AutoModel

    with torch.device("meta"):
        return AutoModel.from_config(base.config, trust_remote_code=base.trust_remote_code)
