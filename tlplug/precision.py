"""In which number format is computed, and where. What moves is always held in float32."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch
    from torch import nn

    from tlplug.contracts import Batch

HALF = ("bfloat16", "float16")


def best_precision(accelerator: str, dtype: str) -> str:
    """Lightning's name of what `trainer.precision=auto` stands for.

    bf16-mixed where the frozen weights are in 16 bits (what moves is in float32, and autocast lets the two meet) and
    on a GPU that has bfloat16; else 32-true.
    """
    import torch

    gpu = accelerator in ("auto", "gpu", "cuda") and torch.cuda.is_available()
    mixed = dtype in HALF or (gpu and torch.cuda.is_bf16_supported())
    return "bf16-mixed" if mixed else "32-true"


def settled(precision: str, accelerator: str, dtype: str) -> str:
    """The same where `auto` may have been asked for."""
    return best_precision(accelerator, dtype) if precision == "auto" else precision


def autocast(precision: str, device: torch.device) -> AbstractContextManager[object]:
    """What Lightning computes in for `precision`, outside of its Trainer."""
    import torch

    if not precision.endswith("-mixed"):
        return nullcontext()
    return torch.autocast(device.type, torch.bfloat16 if precision.startswith("bf16") else torch.float16)


def on_device(batch: Batch, device: torch.device) -> Batch:
    """A batch with its tensors where the model is."""
    return {name: value.to(device) if hasattr(value, "to") else value for name, value in batch.items()}


def hold_moving_in_float32(model: nn.Module) -> nn.Module:
    """Steps of an optimizer are too small for the 8 bits of a bfloat16 (Micikevicius et al. 2018)."""
    import torch

    for parameter in model.parameters():
        if parameter.requires_grad and parameter.dtype in (torch.bfloat16, torch.float16):
            parameter.data = parameter.data.float()
    return model
