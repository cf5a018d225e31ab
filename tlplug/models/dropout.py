"""Dropout whose mask costs a byte of chance for each value, not a random number."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

STEPS = 256
"""Different values of a byte: a rate is kept to half a step."""
WORD = 8
"""Bytes that are drawn at once."""


class ByteDropout(nn.Dropout):
    """Dropout (Srivastava et al. 2014) at the rate k/256 that is nearest to `p`, for a processor.

    A value is dropped where a random byte is below k, and multiplied by 256 / (256 - k) where it stays: its expectation is
    the value itself. torch draws a float for each value, which takes a quarter of a training step of a small encoder.
    """

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        if not self.training or not self.dropped:
            return input
        if (
            input.device.type != "cpu"
            or self.inplace
            or self.dropped == STEPS
            or torch.compiler.is_compiling()
        ):
            # torch.compile works masks into its own loops.
            return super().forward(input)
        found: torch.Tensor = _Masked.apply(input, kept(input, self.dropped), STEPS / (STEPS - self.dropped))  # type: ignore[no-untyped-call]
        return found

    @property
    def dropped(self) -> int:
        """Values of a byte that drop."""
        return round(self.p * STEPS)


class _Masked(torch.autograd.Function):
    """values * mask * scale, which remembers the mask alone."""

    @staticmethod
    def forward(context: Any, values: torch.Tensor, mask: torch.Tensor, scale: float) -> torch.Tensor:
        context.save_for_backward(mask)
        context.scale = scale
        return mask.to(values.dtype).mul_(values).mul_(scale)

    @staticmethod
    def backward(context: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor, None, None]:
        (mask,) = context.saved_tensors
        return mask.to(gradients[0].dtype).mul_(gradients[0]).mul_(context.scale), None, None


def kept(like: torch.Tensor, dropped: int) -> torch.Tensor:
    """Which values stay: bytes of the same shape, 1 with the chance 1 - dropped / 256. Drawn from the global generator."""
    words = torch.empty(-(-like.numel() // WORD), dtype=torch.int64)
    # Without a range the sign bit would stay 0.
    words.random_(torch.iinfo(torch.int64).min, None)
    # In place and not as bool, which torch compares and converts ten times as slowly.
    return words.view(torch.uint8).ge_(dropped)[: like.numel()].view(like.shape)


def with_byte_dropout(model: nn.Module) -> nn.Module:
    """The model with its dropout modules replaced, those of an adapter too; what attention drops within itself is not."""
    for module in list(model.modules()):
        for name, child in module.named_children():
            if type(child) is nn.Dropout:
                setattr(module, name, ByteDropout(child.p, child.inplace).train(child.training))
    return model
