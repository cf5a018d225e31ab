"""Find the layers of keys and values and the second layers of feed-forward parts."""

from __future__ import annotations

import re

from torch import nn

from tlplug import transformer_blocks

KEY_OR_VALUE = re.compile(r"(k|v|key|value)(_?(proj|lin|layer|linear))?")


def peft_names(model_type: str) -> tuple[list[str], list[str]] | None:
    """Return peft's layer names for an architecture, with scaled outputs and with scaled inputs; None if it has none."""
    from peft.utils.constants import (
        TRANSFORMERS_MODELS_TO_IA3_FEEDFORWARD_MODULES_MAPPING,
        TRANSFORMERS_MODELS_TO_IA3_TARGET_MODULES_MAPPING,
    )

    targets = TRANSFORMERS_MODELS_TO_IA3_TARGET_MODULES_MAPPING.get(model_type)
    if targets is None:
        return None
    inner = TRANSFORMERS_MODELS_TO_IA3_FEEDFORWARD_MODULES_MAPPING[model_type]
    return [name for name in targets if name not in inner], list(inner)


def find_layers(model: nn.Module) -> tuple[list[str], list[str]]:
    """Return the full names of both kinds of layers for an architecture that peft does not know.

    The second half of a feed-forward is a linear layer that is narrower on its way out than on its way in; so may be
    the last layer of an attention, which stands beside its keys and values.
    """
    linear = {
        f"{block_name}.{name}": module
        for block_name, block in transformer_blocks(model).items()
        for name, module in block.named_modules()
        if isinstance(module, nn.Linear)
    }
    outputs = [name for name in linear if KEY_OR_VALUE.fullmatch(name.rpartition(".")[2])]
    attentions = {name.rpartition(".")[0] for name in outputs}
    inner = [
        name
        for name, module in linear.items()
        if module.in_features > module.out_features and name.rpartition(".")[0] not in attentions
    ]
    return outputs, inner
