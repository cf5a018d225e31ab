"""Which layers of a model are keys, values, and the second half of a feed-forward."""

from __future__ import annotations

import re
from itertools import pairwise

import torch
from torch import nn

from tlplug import BaseInfo, blocks

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

    The second half of a feed-forward is the linear layer that follows one and is narrower on its way out than on its
    way in.
    """
    outputs, inner = [], []
    for place, block in blocks(model).items():
        linear = [(f"{place}.{name}", m) for name, m in block.named_modules() if isinstance(m, nn.Linear)]
        outputs += [name for name, _ in linear if KEY_OR_VALUE.fullmatch(name.rpartition(".")[2])]
        inner += [
            name
            for (_, before), (name, after) in pairwise(linear)
            if after.in_features > after.out_features == before.in_features
        ]
    return outputs, inner


def without_weights(base: BaseInfo) -> nn.Module:
    """The base model's layers without their weights."""
    from transformers import AutoModel

    with torch.device("meta"):
        return AutoModel.from_config(base.config, trust_remote_code=base.trust_remote_code)  # type: ignore[no-any-return]
