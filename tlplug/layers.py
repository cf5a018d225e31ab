"""Which layers of a transformers model an adaptation can act on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import nn
    from transformers import PreTrainedModel


def present_output_modules(model: nn.Module, names: Sequence[str]) -> list[str]:
    """What has to be trained whole: a head's `output_modules` that this architecture has, and what is as new as they.

    A base model that was saved without its pooler, say, gets a random one.
    """
    found = [name for name, _ in model.named_modules() if name in names]
    new = [name.rpartition(".")[0] for name in new_parameters(model) if not within(name, found)]
    return list(dict.fromkeys([*found, *new]))


def new_parameters(model: nn.Module) -> dict[str, nn.Parameter]:
    """Random parameters, which the base model's files do not have; a bias of zeros is not random."""
    return {
        name: parameter
        for name, parameter in model.named_parameters()
        if getattr(parameter, "is_new", False) and not (parameter == parameter.flatten()[0]).all()
    }


def within(name: str, modules: Sequence[str]) -> bool:
    """Whether a module or parameter is one of the modules or lies in one."""
    return any(f"{name}.".startswith(f"{module}.") for module in modules)


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
        and not within(name, output_modules)
    ]
