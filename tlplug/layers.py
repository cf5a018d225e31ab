"""Which layers of a transformers model an adaptation can act on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import nn
    from transformers import PreTrainedModel


def present_output_modules(model: nn.Module, names: Sequence[str]) -> list[str]:
    """Those of a head's `output_modules` that this architecture has."""
    return [name for name, _ in model.named_modules() if name in names]


def trunk_linear_names(model: PreTrainedModel, output_modules: Sequence[str]) -> list[str]:
    """Full names of the linear layers (quantized ones too) that are no part of the head or of the output embedding.

    peft's `all-linear` leaves out only the heads that it knows, and fails on others; this asks the model.
    """
    from torch import nn
    from transformers.pytorch_utils import Conv1D

    output_embedding = model.get_output_embeddings()
    return [
        name
        for name, module in model.named_modules()
        if isinstance(module, (nn.Linear, Conv1D))
        and module is not output_embedding
        and not any(f"{name}.".startswith(f"{output}.") for output in output_modules)
    ]
