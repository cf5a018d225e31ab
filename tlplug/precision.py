"""In which number format is computed, and where. What moves is always held in float32."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch
    from torch import nn

    from tlplug.contracts import Batch

HALF = ("bfloat16", "float16")
UNITS = ("amx_bf16", "avx512_bf16")
"""As torch names them, the fastest first."""


def best_precision(accelerator: str, dtype: str) -> tuple[str, str]:
    """Lightning's name of what `trainer.precision=auto` stands for, and why.

    bf16-mixed where the device multiplies matrices in bfloat16 faster than in float32, and over frozen weights in
    16 bits (what moves is in float32, and autocast lets the two meet); else 32-true.
    """
    import torch

    if accelerator in ("auto", "gpu", "cuda") and torch.cuda.is_available():
        if torch.cuda.is_bf16_supported(including_emulation=False):
            return "bf16-mixed", "the GPU computes in bfloat16"
        device = "the GPU does not compute in bfloat16"
    elif accelerator in ("auto", "cpu"):
        if unit := bfloat16_unit():
            return "bf16-mixed", f"the processor computes in bfloat16 ({unit})"
        device = "the processor has no unit for bfloat16"
    else:
        device = f"whether {accelerator} is faster in bfloat16 is not known"
    if dtype in HALF:
        return "bf16-mixed", f"the weights that do not move are in {dtype}"
    return "32-true", device


def bfloat16_unit() -> str | None:
    """The processor's instructions that multiply matrices of bfloat16; without them that is slower than float32."""
    import torch

    # torch before 2.11 cannot tell.
    known: Mapping[str, object] = getattr(torch.cpu, "get_capabilities", dict)()
    return next((unit for unit in UNITS if known.get(unit)), None)


def settled(precision: str, accelerator: str, dtype: str) -> str:
    """The same where `auto` may have been asked for."""
    return best_precision(accelerator, dtype)[0] if precision == "auto" else precision


def told(precision: str, accelerator: str, dtype: str) -> str:
    """Which number format is computed in, and why."""
    return ": ".join(best_precision(accelerator, dtype)) if precision == "auto" else f"{precision}, as asked"


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
