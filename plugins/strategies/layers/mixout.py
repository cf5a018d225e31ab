"""Mix the weights of linear layers with their pretrained values."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn.functional import dropout, linear
from transformers.pytorch_utils import Conv1D


def mix_weights(weight: torch.Tensor, pretrained: torch.Tensor, share: float) -> torch.Tensor:
    """Return the weight with each element at its pretrained value with probability `share`; the mean is `weight`.

    With the mask m, which is 1 with probability p: (m w0 + (1 - m) w - p w0) / (1 - p) = w0 + (1 - m) (w - w0) / (1 - p).
    """
    return pretrained + dropout(weight - pretrained, share)


class MixoutLayer(nn.Module):
    """A layer with mixout; its pretrained weight is no part of the state dict, so it is not saved or synchronized."""

    weight: nn.Parameter
    pretrained: torch.Tensor
    share: float

    @property
    def mixed_weight(self) -> torch.Tensor:
        """The weight of this forward pass."""
        return mix_weights(self.weight, self.pretrained, self.share) if self.training else self.weight


class MixoutLinear(MixoutLayer, nn.Linear):
    def forward(self, input: torch.Tensor) -> torch.Tensor:
        return linear(input, self.mixed_weight, self.bias)


class MixoutConv1D(MixoutLayer, Conv1D):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return linear(x, self.mixed_weight.T, self.bias)


def enable_mixout(layer: nn.Module, share: float, device: torch.device) -> None:
    """Make the layer mix its weights in training mode; its parameters stay the same objects under the same names."""
    assert isinstance(layer, (nn.Linear, Conv1D))
    pretrained = layer.weight.detach().to(device, torch.float32, copy=True)
    layer.__class__ = MixoutLinear if isinstance(layer, nn.Linear) else MixoutConv1D
    layer.pretrained, layer.share = pretrained, share


def switch_off_dropout(trunk: nn.Module) -> None:
    """Set all dropout rates to 0, in layers and in attributes of modules; the config is unchanged."""
    for module in trunk.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
        for name, value in vars(module).items():
            if "dropout" in name and isinstance(value, float):
                setattr(module, name, 0.0)
