"""LoRA over a base model in 4 bits."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tlplug import LoadOptions, OptimizerSettings, TaskHead
from tlplug_plugins.strategies.lora import Lora

if TYPE_CHECKING:
    import torch
    from torch import nn

QUANT_TYPES = ("nf4", "fp4")
QUANTIZATION = "quantization_config.json"


class QLora(Lora):
    """QLoRA: LoRA over frozen 4-bit weights.

    Dettmers et al. 2023, through bitsandbytes. Take it on a GPU when the base model in 16 bits does not fit:
    4-bit NormalFloat blocks of 64 with doubly quantized scales take about 0.52 bytes a weight. Each forward
    pass dequantizes, so it is slower than `lora`. On a CPU it trains the same way and gives the same class of
    result; memory there is not its gain.
    """

    @dataclass
    class Config(Lora.Config):
        quant_type: str = "nf4"
        double_quantization: bool = True
        paged_optimizer: bool = True
        """8-bit AdamW whose state can leave a full GPU; on a CPU plain AdamW is used."""

        def __post_init__(self) -> None:
            super().__post_init__()
            if self.quant_type not in QUANT_TYPES:
                raise ValueError(f"quant_type is {self.quant_type!r}; it is one of {', '.join(QUANT_TYPES)}")

    def load_options(self, head: TaskHead) -> LoadOptions:
        import torch
        from transformers import BitsAndBytesConfig

        compute = torch.bfloat16 if torch.cuda.is_available() else torch.float32
        quantization = BitsAndBytesConfig(
            load_in_4bit=True,
            bnb_4bit_quant_type=self.config.quant_type,
            bnb_4bit_use_double_quant=self.config.double_quantization,
            bnb_4bit_compute_dtype=compute,
            # bitsandbytes cannot train a quantized head.
            llm_int8_skip_modules=list(head.output_modules),
        )
        return LoadOptions(quantization=quantization)

    def save(self, model: nn.Module, folder: Path) -> None:
        """As `lora`, with the quantization in a file of its own.

        In config.json it would tell transformers that the base model's file is quantized already.
        """
        super().save(model, folder)
        config = copy.deepcopy(model.config)
        config.quantization_config.to_json_file(folder / QUANTIZATION)
        del config.quantization_config
        config.save_pretrained(folder)

    def optimizer(self, groups: list[dict[str, Any]], settings: OptimizerSettings) -> torch.optim.Optimizer:
        on_gpu = groups[0]["params"][0].is_cuda
        if not (self.config.paged_optimizer and on_gpu):
            return super().optimizer(groups, settings)
        from bitsandbytes.optim import PagedAdamW8bit

        return PagedAdamW8bit(groups, lr=settings.learning_rate)  # type: ignore[no-any-return]
