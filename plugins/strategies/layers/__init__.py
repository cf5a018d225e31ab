"""Torch modules of strategies, and models without weights; imported where they are used."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from tlplug import BaseInfo

if TYPE_CHECKING:
    from transformers import PreTrainedModel


def outline(base: BaseInfo) -> PreTrainedModel:
    """Return the base model without a head on the meta device, which takes neither memory nor time."""
    from transformers import AutoModel

    with torch.device("meta"):
        return AutoModel.from_config(base.config, trust_remote_code=base.trust_remote_code)
