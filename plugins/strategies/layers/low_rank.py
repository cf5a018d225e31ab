"""Initialize low-rank updates, and save the adapters of initializations that change the base weights."""

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
"""The prefix of peft's names of wrapped modules."""
WEIGHTS, CONFIG = "adapter_model.safetensors", "adapter_config.json"
EVA_BATCHES, EVA_PASSES = 32, 4
"""The number of EVA's batches, and of the passes over them in which its directions have to converge."""


def low_rank_layers(model: nn.Module) -> dict[str, nn.Module]:
    return {name: module for name, module in model.named_modules() if hasattr(module, "lora_A")}


def updates(model: nn.Module) -> dict[str, LowRankUpdate]:
    """Return the update of each matrix; without DoRA, whose update is no product of small matrices."""
    updates = {}
    for name, layer in low_rank_layers(model).items():
        base = layer.get_base_layer()
        b, a = layer.lora_B["default"].weight, layer.lora_A["default"].weight
        if layer.use_dora["default"] or isinstance(base, (nn.Embedding, Conv1D)):
            continue
        matrix = f"{name.removeprefix(PEFT)}.weight"
        weight = partial(dequantize_module_weight, base)
        updates[matrix] = LowRankUpdate(weight, b, a, layer.scaling["default"])
    return updates


def remember_start(model: nn.Module) -> None:
    """Store the first A and B: W = W_res + s B0 A0, and the frozen layer holds W_res alone."""
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
    config = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
    # The scale is alpha / rank, or alpha / sqrt(rank): it has to stay what it was.
    config["lora_alpha"] *= 2**0.5 if config["use_rslora"] else 2
    config.update(r=2 * config["r"], init_lora_weights=True)
    (folder / CONFIG).write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")


class RepeatedBatches:
    """The first training batches, which can be iterated over several times, up to a limit."""

    def __init__(self, head: TaskHead, batches: Iterator[Batch]) -> None:
        first = [(int(real_positions(head, batch).sum()), batch) for batch in islice(batches, EVA_BATCHES)]
        # The remainder batch may be too small to contribute.
        most = max(tokens for tokens, _ in first)
        self.batches = [batch for tokens, batch in first if 2 * tokens >= most]
        self.passes = 0

    def __len__(self) -> int:
        return len(self.batches)

    def __iter__(self) -> Iterator[Batch]:
        self.passes += 1
        if self.passes > EVA_PASSES:
            raise UsageError(
                f"strategy.init_lora_weights=eva: the directions of the inputs do not converge within {EVA_PASSES} passes "
                f"over {len(self)} batches; set a lower strategy.r"
            )
        return iter(self.batches)


def start_from_inputs(model: nn.Module, context: AdaptContext) -> None:
    """Initialize A from the singular vectors of each layer's inputs on the first training batches (EVA)."""
    from peft import initialize_lora_eva_weights

    config = model.peft_config["default"]  # type: ignore[index]
    initialize_lora_eva_weights(
        model,
        RepeatedBatches(context.head, context.batches()),
        forward_fn=lambda adapted, batch: context.head.training_step(adapted, batch),
        prepare_model_inputs_fn=lambda batch, _: real_positions(context.head, batch),
        prepare_layer_inputs_fn=partial(layer_inputs, round(config.r * config.eva_config.rho)),
        gather_distributed_inputs=False,
        show_progress_bar=False,
    )


def real_positions(head: TaskHead, batch: Batch) -> torch.Tensor:
    """Return the head's mask [B, T]; where it has none, ones [B, 1]: each row is one whole."""
    mask = head.mask(batch)
    return torch.ones(len(batch["id"]), 1, dtype=torch.bool) if mask is None else mask.bool()


def layer_inputs(least: int, inputs: Any, mask: torch.Tensor, name: str) -> torch.Tensor:
    """Return a layer's inputs as [N, in], without padding if they are the batch's tokens."""
    states: torch.Tensor = inputs[0] if isinstance(inputs, tuple) else inputs
    real = states[mask.to(states.device)] if states.shape[:2] == mask.shape else states.flatten(0, -2)
    if len(real) < least:
        raise UsageError(
            f"strategy.init_lora_weights=eva: {name.removeprefix(PEFT)} sees {len(real)} vectors in a "
            f"batch, too few for {least} directions; set a larger data.batch_size or a lower strategy.r"
        )
    return real.contiguous()


def disable_input_casting(model: nn.Module) -> None:
    """Disable peft's cast of a layer's inputs to float32, which autocast would cast back to 16 bits at once."""
    for module in model.modules():
        if hasattr(module, "cast_input_dtype_enabled"):
            module.cast_input_dtype_enabled = False
