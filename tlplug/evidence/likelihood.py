"""How likely a language model finds texts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from tlplug.contracts import BaseInfo, Batch
from tlplug.evidence.features import INPUTS, transformers_model

if TYPE_CHECKING:
    from torch import nn


def no_likelihood(model: nn.Module, base: BaseInfo) -> str | None:
    """Why a model gives texts no likelihood; None where it does."""
    if base.kind != "decoder":
        return (
            f"{base.source} is no language model that reads from left to right, so texts have no likelihood"
        )
    if transformers_model(model).get_output_embeddings() is None:
        return "the head replaces the base model's prediction of tokens, so texts have no likelihood"
    return None


def likelihoods(model: nn.Module, batches: Sequence[Batch]) -> np.ndarray:
    """For each text the sum of -log p of its tokens, in nats, and their number, float64 [p, 2].

    A token is predicted from those before it; the first one of a text is not.
    """
    import torch
    from torch.nn.functional import cross_entropy

    found = []
    for batch in batches:
        tokens, mask = batch["input_ids"], batch["attention_mask"]
        given = {name: batch[name] for name in INPUTS if name in batch}
        logits = model(**given, use_cache=False).logits[:, -tokens.shape[1] :].float()
        told = mask[:, 1:] * mask[:, :-1]
        losses = cross_entropy(logits[:, :-1].transpose(1, 2), tokens[:, 1:], reduction="none") * told
        found.append(torch.stack([losses.double().sum(1), told.double().sum(1)], dim=1).cpu().numpy())
    return np.concatenate(found)
