"""What a classifier that came with the base model says of rows, by its own labels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from tlplug.base_model import has_model, load_pretrained
from tlplug.contracts import BaseInfo, Batch, LoadOptions
from tlplug.evidence.features import INPUTS
from tlplug.layers import new_parameters

if TYPE_CHECKING:
    import torch

SAVED_AS = "ForSequenceClassification"
SINGLE_LABEL = (None, "single_label_classification")


def no_classifier(base: BaseInfo) -> str | None:
    """Why no classifier of the base model says anything of rows; None where one does. No weights are loaded."""
    from transformers import AutoModelForSequenceClassification

    config = base.config
    saved = any(name.endswith(SAVED_AS) for name in config.architectures or ())
    if not saved or not has_model(AutoModelForSequenceClassification, base):
        return f"{base.source} came without a classifier"
    if config.num_labels < 2 or config.problem_type not in SINGLE_LABEL:
        return f"the classifier of {base.source} does not tell classes that exclude each other"
    return None


def source_probabilities(base: BaseInfo, batches: Sequence[Batch], device: torch.device) -> np.ndarray:
    """The probability of each of the classifier's own Z labels, float64 [p, Z], in the order of the batches' rows.

    The classifier is loaded for it, and chance is as it was afterwards.

    Raises:
        ValueError: there is no classifier, or the files hold no weights for it.
    """
    import torch
    from transformers import AutoModelForSequenceClassification

    if reason := no_classifier(base):
        raise ValueError(reason)
    devices = [device] if device.type == "cuda" else []
    with torch.no_grad(), torch.random.fork_rng(devices):
        model = load_pretrained(AutoModelForSequenceClassification, base, LoadOptions()).to(device).eval()
        if absent := next(iter(new_parameters(model)), None):
            raise ValueError(f"{base.source} names a classifier, but its files have no {absent}")
        found = []
        for batch in batches:
            given = {name: batch[name].to(device) for name in INPUTS if name in batch}
            found.append(model(**given).logits.double().softmax(dim=-1).cpu().numpy())
    return np.concatenate(found)
