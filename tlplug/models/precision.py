"""Resolve the number format of the computation. Trainable weights are always in float32."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch
    from torch import nn

    from tlplug.interfaces import Batch

HALF_PRECISION = ("bfloat16", "float16")
BFLOAT16_INSTRUCTIONS = ("amx_bf16", "avx512_bf16")
"""Instructions of a CPU by torch's names, the fastest first."""
FULL_NAMES = {"16": "16-mixed", "bf16": "bf16-mixed", "32": "32-true", "64": "64-true"}
"""Lightning's full names by its short ones."""


def best_precision(accelerator: str, dtype: str) -> tuple[str, str]:
    """Return the precision that `trainer.precision=auto` selects, by Lightning's name, and the reason.

    bf16-mixed where the device multiplies matrices in bfloat16 faster than in float32, and where frozen weights have
    16 bits (autocast combines them with the trainable weights in float32); else 32-true.
    """
    fast, reason = bfloat16_support(accelerator)
    if fast:
        return "bf16-mixed", reason
    if dtype in HALF_PRECISION:
        return "bf16-mixed", f"the frozen weights are in {dtype}"
    return "32-true", reason


def bfloat16_support(accelerator: str) -> tuple[bool, str]:
    """Return whether the device computes in bfloat16 without emulation, and a sentence that says so."""
    import torch

    kind = device_kind(accelerator)
    if kind == "cuda":
        fast = torch.cuda.is_bf16_supported(including_emulation=False)
        return fast, f"the GPU {'computes' if fast else 'does not compute'} in bfloat16"
    if kind != "cpu":
        return False, f"whether {kind} is faster in bfloat16 is not known"
    name = cpu_bfloat16_instructions()
    if name is None:
        return False, "the processor has no instructions for bfloat16"
    return True, f"the processor computes in bfloat16 ({name})"


def device_kind(accelerator: str) -> str:
    """Return the kind of device that Lightning selects for `trainer.accelerator`."""
    import torch

    if accelerator not in ("auto", "gpu", "cuda"):
        return accelerator
    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"


def cpu_bfloat16_instructions() -> str | None:
    """Return the CPU's instructions that multiply matrices in bfloat16; without them bfloat16 is slower than float32."""
    import torch

    # torch before 2.11 does not report them.
    capabilities: Mapping[str, object] = getattr(torch.cpu, "get_capabilities", dict)()
    return next((name for name in BFLOAT16_INSTRUCTIONS if capabilities.get(name)), None)


def resolve_precision(precision: str, accelerator: str, dtype: str) -> str:
    """Return Lightning's full name for a precision, which may be `auto` or a short name."""
    return resolve_with_reason(precision, accelerator, dtype)[0]


def resolve_with_reason(precision: str, accelerator: str, dtype: str) -> tuple[str, str]:
    """Return Lightning's full name for a precision and the reason for it."""
    if precision == "auto":
        return best_precision(accelerator, dtype)
    name = FULL_NAMES.get(str(precision), str(precision))
    if name == "16-mixed" and device_kind(accelerator) == "cpu":
        return "bf16-mixed", "Lightning replaces float16 with it on a processor"
    return name, "as set"


def describe_precision(precision: str, accelerator: str, dtype: str) -> str:
    """Return the precision and its reason for the preflight table."""
    return ": ".join(resolve_with_reason(precision, accelerator, dtype))


def autocast(precision: str, device: torch.device) -> AbstractContextManager[object]:
    """Return the context in which Lightning computes for `precision`, for use outside its Trainer."""
    import torch

    if not precision.endswith("-mixed"):
        return nullcontext()
    return torch.autocast(device.type, torch.bfloat16 if precision.startswith("bf16") else torch.float16)


def to_device(batch: Batch, device: torch.device) -> Batch:
    """Return a batch with its tensors on the device."""
    return {name: value.to(device) if hasattr(value, "to") else value for name, value in batch.items()}


def cast_trainable_to_float32(model: nn.Module) -> nn.Module:
    """Cast the trainable weights to float32 in place: updates are too small for bfloat16 (Micikevicius et al. 2018)."""
    import torch

    for parameter in model.parameters():
        if parameter.requires_grad and parameter.dtype in (torch.bfloat16, torch.float16):
            parameter.data = parameter.data.float()
    return model
