"""Dropout that draws one random byte for each value instead of a random float."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

STEPS = 256
"""Different values of a byte; a rate is rounded to 1 / 256."""
WORD = 8
"""Bytes in a random integer."""


class ByteDropout(nn.Dropout):
    """Dropout (Srivastava et al. 2014) on a CPU, at the rate k/256 that is nearest to `p`.

    A value is dropped where a random byte is below k, and multiplied by 256 / (256 - k) elsewhere, which keeps its
    expectation. torch draws a float for each value, which takes a quarter of a training step of a small encoder.
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
            # torch.compile fuses the drawing of the mask with other operations.
            return super().forward(input)
        mask = draw_mask(input, self.dropped)
        output: torch.Tensor = _MaskAndScale.apply(input, mask, STEPS / (STEPS - self.dropped))  # type: ignore[no-untyped-call]
        return output

    @property
    def dropped(self) -> int:
        """Number of byte values for which a value is dropped."""
        return round(self.p * STEPS)


class _MaskAndScale(torch.autograd.Function):
    """values * mask * scale, which saves only the mask for the backward pass."""

    @staticmethod
    def forward(context: Any, values: torch.Tensor, mask: torch.Tensor, scale: float) -> torch.Tensor:
        context.save_for_backward(mask)
        context.scale = scale
        return mask.to(values.dtype).mul_(values).mul_(scale)

    @staticmethod
    def backward(context: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor, None, None]:
        (mask,) = context.saved_tensors
        return mask.to(gradients[0].dtype).mul_(gradients[0]).mul_(context.scale), None, None


def draw_mask(like: torch.Tensor, dropped: int) -> torch.Tensor:
    """Draw bytes in the shape of `like` that are 1 with probability 1 - dropped / 256, by the global generator."""
    integers = torch.empty(-(-like.numel() // WORD), dtype=torch.int64)
    # Without a range the sign bit would stay 0.
    integers.random_(torch.iinfo(torch.int64).min, None)
    # Compare bytes in place: a comparison to bool, and its conversion, take ten times as long.
    return integers.view(torch.uint8).ge_(dropped)[: like.numel()].view(like.shape)


def use_byte_dropout(model: nn.Module) -> nn.Module:
    """Replace the dropout modules of a model and its adapter in place; dropout inside attention kernels stays."""
    for module in list(model.modules()):
        for name, child in module.named_children():
            if type(child) is nn.Dropout:
                setattr(module, name, ByteDropout(child.p, child.inplace).train(child.training))
    return model
