"""Compute distances between the features of two batches."""

from __future__ import annotations

import torch


def covariance(features: torch.Tensor) -> torch.Tensor:
    """Return the unbiased covariance [D, D] of [n, D]; needs at least two rows."""
    centred = features - features.mean(0)
    return centred.T @ centred / (len(features) - 1)


def coral(source: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """Return ||C_s - C_t||_F^2 / (4 D^2) of features [n, D] and [m, D]."""
    # Autocast would multiply in 16 bits, too coarse for small differences of large sums.
    with torch.autocast(source.device.type, enabled=False):
        difference = covariance(source) - covariance(target)
        return difference.square().sum() / (4 * source.shape[1] ** 2)


def squared(features: torch.Tensor, others: torch.Tensor) -> torch.Tensor:
    """Return the mean squared difference of [n, D] and [n, D] over rows and dimensions."""
    return (features - others).square().mean()


def cosine(features: torch.Tensor, others: torch.Tensor) -> torch.Tensor:
    """Return the mean of 1 - cos of [n, D] and [n, D] over rows."""
    return (1 - torch.cosine_similarity(features, others, dim=-1)).mean()


FROM_FEATURES = {"squared": squared, "cosine": cosine}
