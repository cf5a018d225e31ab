"""Linear layers that mix their weights with those they began with."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn.functional import dropout, linear
from transformers.pytorch_utils import Conv1D


def mixed(weight: torch.Tensor, pretrained: torch.Tensor, share: float) -> torch.Tensor:
    """Each element is, with probability `share`, its pretrained value; corrected so that the mean is `weight`.

    With the mask m, which is 1 with probability p: (m w0 + (1 - m) w - p w0) / (1 - p) = w0 + (1 - m) (w - w0) / (1 - p).
    """
    return pretrained + dropout(weight - pretrained, share)


class Mixing(nn.Module):
    """The pretrained weight is no part of the state: it is neither saved nor sent from process to process."""

    weight: nn.Parameter
    pretrained: torch.Tensor
    share: float

    @property
    def drawn(self) -> torch.Tensor:
        """The weight of this forward pass."""
        return mixed(self.weight, self.pretrained, self.share) if self.training else self.weight


class MixingLinear(Mixing, nn.Linear):
    def forward(self, input: torch.Tensor) -> torch.Tensor:
        return linear(input, self.drawn, self.bias)


class MixingConv1D(Mixing, Conv1D):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return linear(x, self.drawn.T, self.bias)


def mix(layer: nn.Module, share: float, device: torch.device) -> None:
    """From now on the layer mixes while it trains. Its parameters stay the same objects under the same names."""
    assert isinstance(layer, (nn.Linear, Conv1D))
    pretrained = layer.weight.detach().to(device, torch.float32, copy=True)
    layer.__class__ = MixingLinear if isinstance(layer, nn.Linear) else MixingConv1D
    layer.pretrained, layer.share = pretrained, share


def switch_off_dropout(trunk: nn.Module) -> None:
    """Layers of it, and the shares that modules keep as plain numbers; the model's config is left as it is."""
    for module in trunk.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
        for name, value in vars(module).items():
            if "dropout" in name and isinstance(value, float):
                setattr(module, name, 0.0)
