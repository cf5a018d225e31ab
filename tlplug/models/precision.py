"""In which number format is computed, and where. What moves is always held in float32."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch
    from torch import nn

    from tlplug.interfaces import Batch

HALF = ("bfloat16", "float16")
UNITS = ("amx_bf16", "avx512_bf16")
"""As torch names them, the fastest first."""
FULL = {"16": "16-mixed", "bf16": "bf16-mixed", "32": "32-true", "64": "64-true"}
"""Lightning's short names."""


def best_precision(accelerator: str, dtype: str) -> tuple[str, str]:
    """Lightning's name of what `trainer.precision=auto` stands for, and why.

    bf16-mixed where the device multiplies matrices in bfloat16 faster than in float32, and over frozen weights in
    16 bits (what moves is in float32, and autocast lets the two meet); else 32-true.
    """
    fast, why = fast_in_bfloat16(accelerator)
    if fast:
        return "bf16-mixed", why
    if dtype in HALF:
        return "bf16-mixed", f"the weights that do not move are in {dtype}"
    return "32-true", why


def fast_in_bfloat16(accelerator: str) -> tuple[bool, str]:
    """Whether the device has a unit for bfloat16, and in words."""
    import torch

    kind = kind_of(accelerator)
    if kind == "cuda":
        fast = torch.cuda.is_bf16_supported(including_emulation=False)
        return fast, f"the GPU {'computes' if fast else 'does not compute'} in bfloat16"
    if kind != "cpu":
        return False, f"whether {kind} is faster in bfloat16 is not known"
    unit = cpu_bfloat16_instructions()
    return unit is not None, (
        f"the processor computes in bfloat16 ({unit})" if unit else "the processor has no unit for bfloat16"
    )


def kind_of(accelerator: str) -> str:
    """The kind of device that Lightning takes for `trainer.accelerator`."""
    import torch

    if accelerator not in ("auto", "gpu", "cuda"):
        return accelerator
    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"


def cpu_bfloat16_instructions() -> str | None:
    """The processor's instructions that multiply matrices of bfloat16; without them that is slower than float32."""
    import torch

    # torch before 2.11 cannot tell.
    known: Mapping[str, object] = getattr(torch.cpu, "get_capabilities", dict)()
    return next((unit for unit in UNITS if known.get(unit)), None)


def settled(precision: str, accelerator: str, dtype: str) -> str:
    """Lightning's full name of what is computed in; `auto` and short names may have been asked for."""
    return chosen(precision, accelerator, dtype)[0]


def chosen(precision: str, accelerator: str, dtype: str) -> tuple[str, str]:
    """The same, and why."""
    if precision == "auto":
        return best_precision(accelerator, dtype)
    name = FULL.get(str(precision), str(precision))
    if name == "16-mixed" and kind_of(accelerator) == "cpu":
        return "bf16-mixed", "Lightning computes in it on a processor where float16 is asked for"
    return name, "as asked"


def told(precision: str, accelerator: str, dtype: str) -> str:
    """For a person."""
    return ": ".join(chosen(precision, accelerator, dtype))


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
