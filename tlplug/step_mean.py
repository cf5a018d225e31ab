"""An optimizer step over several batches, each example of which weighs the same."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import nn

from tlplug.interfaces import StepOutput
from tlplug.processes import total


class StepMean:
    """The gradient of an optimizer step: that of the mean over all rows, or tokens, of its batches, as the head counts them.

    Lightning divides the loss by the number of batches that are accumulated, and processes average their gradients: means
    over batches, each of which has examples of its own number. So a batch gives its sum, and once the step has all of them
    its gradients are divided by what they weigh together.

    Args:
        batches: of a step, those of all processes; 1: there is nothing to do.
    """

    def __init__(self, batches: int) -> None:
        self.batches = batches
        self.weight = 0.0

    def of(self, output: StepOutput) -> torch.Tensor:
        """What a batch backpropagates."""
        if self.batches == 1:
            return output.loss
        self.weight += output.weight
        return output.loss * output.weight

    def settle(self, parameters: Iterable[nn.Parameter]) -> None:
        """Sums into means; after the last batch of a step, which may be one of fewer."""
        if self.batches == 1:
            return
        gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
        if not gradients:
            return
        weight = total(self.weight, gradients[0].device)
        torch._foreach_mul_(gradients, self.batches / weight)
        self.weight = 0.0
