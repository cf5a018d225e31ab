"""Generate text with a model."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import nn

from tlplug import Batch

KEPT = ("bos_token_id", "decoder_start_token_id", "forced_bos_token_id")
"""Of a pretrained model's own generation settings: how its decoder starts."""


def set_generation(model: Any, stops: Iterable[int], **settings: Any) -> None:
    """Set the model's generation config, in place of the one of the pretrained model."""
    from transformers import GenerationConfig

    start_settings = {name: getattr(model.generation_config, name, None) for name in KEPT}
    model.generation_config = GenerationConfig(
        **{name: value for name, value in start_settings.items() if value is not None},
        eos_token_id=list(stops),
        pad_token_id=model.config.pad_token_id,
        do_sample=False,
        **settings,
    )


def generate(model: nn.Module, batch: Batch) -> list[list[int]]:
    """Return the new tokens of each row of a right-padded batch, without the stop token."""
    encoder_decoder = model.config.is_encoder_decoder
    ids, mask = batch["input_ids"], batch["attention_mask"]
    if not encoder_decoder:
        ids, mask = pads_first(ids, mask)
    generated = model.generate(input_ids=ids, attention_mask=mask, use_cache=True)
    # An encoder-decoder begins with its start token, a decoder with what it was given.
    start = 1 if encoder_decoder else ids.shape[1]
    stops = set(model.generation_config.eos_token_id)
    return [until(row, stops) for row in generated[:, start:].tolist()]


def pads_first(ids: torch.Tensor, mask: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Padding moved from the right to the left: a decoder goes on after the last token of each row."""
    length = ids.shape[1]
    moved = mask.shape[1] - mask.sum(1, keepdim=True)
    source = (torch.arange(length, device=ids.device) - moved) % length
    return ids.gather(1, source), mask.gather(1, source)


def until(tokens: list[int], stops: set[int]) -> list[int]:
    end = next((place for place, token in enumerate(tokens) if token in stops), len(tokens))
    return tokens[:end]
