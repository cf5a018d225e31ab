"""Compute the loss and each row's negative log likelihood of the labelled tokens."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.nn.functional import cross_entropy

from tlplug import Batch, StepOutput, UsageError
from tlplug_plugins.heads.generation.token_sequences import IGNORED


def token_logits(model: nn.Module, batch: Batch) -> torch.Tensor:
    """Logits [B, T, V] of a decoder or a masked language model, for a padded or a packed batch."""
    # transformers tells packed rows apart by `position_ids`, but only where there is neither a mask nor a cache.
    telling = "position_ids" if "position_ids" in batch else "attention_mask"
    if telling == "position_ids" and _learns_a_prompt(model):
        raise UsageError(
            "head.packing: rows that share a learnt prompt cannot be packed; set head.packing=false"
        )
    logits: torch.Tensor = model(
        input_ids=batch["input_ids"], use_cache=False, **{telling: batch[telling]}
    ).logits
    # A learnt prompt stands before the tokens of the batch.
    return logits[:, -batch["input_ids"].shape[1] :]


def target_logits(model: nn.Module, batch: Batch) -> torch.Tensor:
    """Logits [B, T, V] of an encoder-decoder, whose decoder reads the labels [B, T] moved by one."""
    moved = getattr(model, "prepare_decoder_input_ids_from_labels", None)
    # A model without that moves labels itself, and computes a loss of which no use is made.
    labels = {"decoder_input_ids": moved(labels=batch["labels"])} if moved else {"labels": batch["labels"]}
    inputs = {"input_ids": batch["input_ids"], "attention_mask": batch["attention_mask"]}
    logits: torch.Tensor = model(**inputs, **labels, use_cache=False).logits
    return logits


def labelled(logits: torch.Tensor, labels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return the N positions that have a label: logits [N, V] in float32, labels [N], and the row of each [N]."""
    chosen = labels != IGNORED
    # Chosen first, so that no more than these are ever held in float32.
    return logits[chosen].float(), labels[chosen], chosen.nonzero()[:, 0]


def mean_loss(logits: torch.Tensor, labels: torch.Tensor) -> StepOutput:
    """Return the mean cross entropy of the labelled tokens and their number."""
    chosen, targets, _ = labelled(logits, labels)
    total = cross_entropy(chosen, targets, reduction="sum")
    return StepOutput(total / max(1, len(targets)), num_items=len(targets))


def likelihoods(logits: torch.Tensor, batch: Batch) -> list[dict[str, Any]]:
    """Return for each row `id` and `part`; `nll`, the summed negative log likelihood of its labels; `tokens`, how many
    there are; `right`, of how many the logit is the largest."""
    chosen, targets, rows = labelled(logits, batch["labels"])
    each = torch.stack(
        [
            cross_entropy(chosen, targets, reduction="none"),
            torch.ones_like(targets, dtype=torch.float32),
            (chosen.argmax(-1) == targets).float(),
        ],
        dim=-1,
    )
    sums = torch.zeros(len(logits), 3, device=each.device).index_add_(0, rows, each).tolist()
    return [
        {"id": identity, "part": part, "nll": nll, "tokens": int(tokens), "right": int(right)}
        for identity, part, (nll, tokens, right) in zip(
            batch["id"].tolist(), batch["part"].tolist(), sums, strict=True
        )
    ]


def _learns_a_prompt(model: nn.Module) -> bool:
    return bool(getattr(getattr(model, "active_peft_config", None), "is_prompt_learning", False))
