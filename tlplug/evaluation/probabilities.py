"""Record what the base model predicts: likelihoods of texts, probabilities of its own classes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from tlplug.evaluation.layer_features import transformers_model
from tlplug.interfaces import BaseInfo, Batch, LoadOptions, TaskHead
from tlplug.models.layers import newly_initialized
from tlplug.models.loading import has_model, load_pretrained
from tlplug.models.precision import to_device

if TYPE_CHECKING:
    import torch
    from torch import nn


def why_no_likelihood(model: nn.Module, base: BaseInfo) -> str | None:
    """Return the reason why a model gives texts no likelihood; None where it does."""
    if base.kind != "decoder" or not base.has_tokenizer:
        return (
            f"{base.source} is no language model that reads from left to right, so texts have no likelihood"
        )
    if transformers_model(model).get_output_embeddings() is None:
        return "the head replaces the base model's prediction of tokens, so texts have no likelihood"
    return None


def likelihoods(model: nn.Module, texts: TaskHead, batches: Sequence[Batch]) -> np.ndarray:
    """Return for each text the sum of -log p of its tokens, in nats, and their number, float64 [p, 2].

    Each token but the first is predicted from the tokens before it.

    Args:
        texts: the head that collated the batches.
    """
    import torch
    from torch.nn.functional import cross_entropy

    sums = []
    for batch in batches:
        tokens, mask = batch["input_ids"], batch["attention_mask"]
        logits = model(**texts.model_inputs(batch), use_cache=False).logits[:, -tokens.shape[1] :].float()
        predicted = mask[:, 1:] * mask[:, :-1]
        losses = cross_entropy(logits[:, :-1].transpose(1, 2), tokens[:, 1:], reduction="none") * predicted
        sums.append(torch.stack([losses.double().sum(1), predicted.double().sum(1)], dim=1).cpu().numpy())
    return np.concatenate(sums)


CLASSIFIERS = ("ForSequenceClassification", "ForImageClassification", "ForAudioClassification")
"""Suffixes of model classes that classify a whole example."""
SINGLE_LABEL = (None, "single_label_classification")


def why_no_classifier(base: BaseInfo) -> str | None:
    """Return the reason why the base model has no usable classifier; None where it has. No weights are loaded."""
    config, auto = base.config, auto_classifier(base)
    if auto is None or not has_model(auto, base):
        return f"{base.source} came without a classifier"
    if config.num_labels < 2 or config.problem_type not in SINGLE_LABEL:
        return f"the classifier of {base.source} does not tell classes that exclude each other"
    return None


def auto_classifier(base: BaseInfo) -> Any:
    """Return the Auto class of the classifier that the base model was saved with; None without a classifier."""
    import transformers

    names = base.config.architectures or ()
    suffix = next((suffix for suffix in CLASSIFIERS if any(name.endswith(suffix) for name in names)), None)
    return None if suffix is None else getattr(transformers, f"AutoModel{suffix}")


def source_probabilities(
    head: TaskHead, base: BaseInfo, batches: Sequence[Batch], device: torch.device
) -> np.ndarray:
    """Return the probability of each of the classifier's Z labels, float64 [p, Z], in the order of the batches' rows.

    Loads the classifier and leaves the random state unchanged.

    Raises:
        ValueError: there is no classifier, or the files hold no weights for it.
    """
    import torch

    reason = why_no_classifier(base)
    if reason:
        raise ValueError(reason)
    devices = [device] if device.type == "cuda" else []
    with torch.no_grad(), torch.random.fork_rng(devices):
        model = load_pretrained(auto_classifier(base), base, LoadOptions()).to(device).eval()
        missing = next(iter(newly_initialized(model)), None)
        if missing:
            raise ValueError(f"{base.source} names a classifier, but its files have no {missing}")
        probabilities = []
        for batch in batches:
            inputs = to_device(head.model_inputs(batch), device)
            probabilities.append(model(**inputs).logits.double().softmax(dim=-1).cpu().numpy())
    return np.concatenate(probabilities)
