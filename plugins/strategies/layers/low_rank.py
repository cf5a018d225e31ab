"""Where low-rank updates start from, and what that makes of the adapter that is saved."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from peft.utils.integrations import dequantize_module_weight
from safetensors.torch import load_file, save_file
from torch import nn
from transformers.pytorch_utils import Conv1D

from tlplug import AdaptContext, Batch, LowRankUpdate, TaskHead, UsageError

PEFT = "base_model.model."
"""What peft puts before the names of what it wraps."""
WEIGHTS, CONFIG = "adapter_model.safetensors", "adapter_config.json"
SEEN, PASSES = 32, 4
"""Batches that EVA looks at, and how often at most until its directions have to stand still."""


def low_rank_layers(model: nn.Module) -> dict[str, nn.Module]:
    return {name: module for name, module in model.named_modules() if hasattr(module, "lora_A")}


def changed(model: nn.Module) -> dict[str, LowRankUpdate]:
    """What is added to each matrix; DoRA's is no product of small matrices."""
    found = {}
    for name, layer in low_rank_layers(model).items():
        base = layer.get_base_layer()
        left, right = layer.lora_B["default"].weight, layer.lora_A["default"].weight
        if layer.use_dora["default"] or isinstance(base, (nn.Embedding, Conv1D)):
            continue
        matrix = f"{name.removeprefix(PEFT)}.weight"
        weight = partial(dequantize_module_weight, base)
        found[matrix] = LowRankUpdate(weight, left, right, layer.scaling["default"])
    return found


def remember_start(model: nn.Module) -> None:
    """Keep A and B as they are: W = W_res + s B0 A0, of which W_res alone is in the frozen layer."""
    for layer in low_rank_layers(model).values():
        for kind in ("A", "B"):
            start = getattr(layer, f"lora_{kind}")["default"].weight.detach().clone()
            layer.register_buffer(f"start_{kind}", start, persistent=False)


def write_over_whole_weights(model: nn.Module, folder: Path) -> None:
    """Turn the saved adapter, which goes over W_res, into one of twice the rank that goes over the untouched W.

    W_res + s B A = W + s (B A - B0 A0) = W + s [B, -B0] [A; A0].
    """
    saved = load_file(folder / WEIGHTS)
    for name, layer in low_rank_layers(model).items():
        a, b = f"{name}.lora_A.weight", f"{name}.lora_B.weight"
        saved[a] = torch.cat([saved[a], layer.start_A.to(saved[a])], dim=0)
        saved[b] = torch.cat([saved[b], -layer.start_B.to(saved[b])], dim=1)
    save_file(saved, folder / WEIGHTS, metadata={"format": "pt"})
    known = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
    # The scale is alpha / rank, or alpha / sqrt(rank): it has to stay what it was.
    known["lora_alpha"] *= 2**0.5 if known["use_rslora"] else 2
    known.update(r=2 * known["r"], init_lora_weights=True)
    (folder / CONFIG).write_text(json.dumps(known, indent=2) + "\n", encoding="utf-8")


class Seen:
    """The first batches, which can be gone through again, though not for ever."""

    def __init__(self, head: TaskHead, batches: Iterator[Batch]) -> None:
        first = [(int(real_positions(head, batch).sum()), batch) for batch in islice(batches, SEEN)]
        # A batch of what was left over may be too small to tell anything.
        most = max(tokens for tokens, _ in first)
        self.batches = [batch for tokens, batch in first if 2 * tokens >= most]
        self.passes = 0

    def __len__(self) -> int:
        return len(self.batches)

    def __iter__(self) -> Iterator[Batch]:
        self.passes += 1
        if self.passes > PASSES:
            raise UsageError(
                f"strategy.init_lora_weights=eva: the inputs' directions do not settle within {PASSES} passes over "
                f"{len(self)} batches; take a lower strategy.r"
            )
        return iter(self.batches)


def start_from_inputs(model: nn.Module, context: AdaptContext) -> None:
    """EVA: A from the singular vectors of what comes into each layer on the first training batches."""
    from peft import initialize_lora_eva_weights

    config = model.peft_config["default"]  # type: ignore[index]
    initialize_lora_eva_weights(
        model,
        Seen(context.head, context.batches()),
        forward_fn=lambda adapted, batch: context.head.training_step(adapted, batch),
        prepare_model_inputs_fn=lambda batch, _: real_positions(context.head, batch),
        prepare_layer_inputs_fn=partial(real_tokens, round(config.r * config.eva_config.rho)),
        gather_distributed_inputs=False,
        show_progress_bar=False,
    )


def real_positions(head: TaskHead, batch: Batch) -> torch.Tensor:
    """Return the head's mask [B, T]; where it has none, ones [B, 1]: each row is one whole."""
    mask = head.mask(batch)
    return torch.ones(len(batch["id"]), 1, dtype=torch.bool) if mask is None else mask.bool()


def real_tokens(wanted: int, given: Any, mask: torch.Tensor, name: str) -> torch.Tensor:
    """A layer's inputs as [N, in], without padding where they are the batch's tokens."""
    states: torch.Tensor = given[0] if isinstance(given, tuple) else given
    real = states[mask.to(states.device)] if states.shape[:2] == mask.shape else states.flatten(0, -2)
    if len(real) < wanted:
        raise UsageError(
            f"strategy.init_lora_weights=eva: {name.removeprefix(PEFT)} sees {len(real)} vectors in a "
            f"batch, too few to find {wanted} directions: take a larger data.batch_size or a lower strategy.r"
        )
    return real.contiguous()


def leave_casting_to_autocast(model: nn.Module) -> None:
    """peft casts what comes into a layer to its own weights' float32, which autocast casts back to 16 bits at once."""
    for module in model.modules():
        if hasattr(module, "cast_input_dtype_enabled"):
            module.cast_input_dtype_enabled = False
