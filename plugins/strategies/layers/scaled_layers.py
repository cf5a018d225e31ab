"""Which layers of a model are keys, values, and the second half of a feed-forward."""

from __future__ import annotations

import re

import torch
from torch import nn

from tlplug import BaseInfo, transformer_blocks

KEY_OR_VALUE = re.compile(r"(k|v|key|value)(_?(proj|lin|layer|linear))?")


def known(model_type: str) -> tuple[list[str], list[str]] | None:
    """peft's names for an architecture: those whose outputs are scaled, and those whose inputs are; None: it has none."""
    from peft.utils.constants import (
        TRANSFORMERS_MODELS_TO_IA3_FEEDFORWARD_MODULES_MAPPING,
        TRANSFORMERS_MODELS_TO_IA3_TARGET_MODULES_MAPPING,
    )

    targets = TRANSFORMERS_MODELS_TO_IA3_TARGET_MODULES_MAPPING.get(model_type)
    if targets is None:
        return None
    inner = TRANSFORMERS_MODELS_TO_IA3_FEEDFORWARD_MODULES_MAPPING[model_type]
    return [name for name in targets if name not in inner], list(inner)


def found(model: nn.Module) -> tuple[list[str], list[str]]:
    """The same in full names for an architecture that peft does not know.

    The second half of a feed-forward is a linear layer that is narrower on its way out than on its way in; so may be
    the last layer of an attention, which stands beside its keys and values.
    """
    linear = {
        f"{place}.{name}": module
        for place, block in transformer_blocks(model).items()
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


def without_weights(base: BaseInfo) -> nn.Module:
    """The base model's layers without their weights."""
    from transformers import AutoModel

    with torch.device("meta"):
        return AutoModel.from_config(base.config, trust_remote_code=base.trust_remote_code)  # type: ignore[no-any-return]
