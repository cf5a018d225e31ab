"""Train LoRA over a base model in 4 bits."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tlplug import LoadOptions, OptimizerSettings, TaskHead, cpu_bfloat16_instructions
from tlplug_plugins.strategies.lora import RESIDUAL, Lora

if TYPE_CHECKING:
    import torch
    from torch import nn

QUANT_TYPES = ("nf4", "fp4")
COMPUTE_DTYPES = ("auto", "float32", "bfloat16", "float16")
QUANTIZATION = "quantization_config.json"


class QLora(Lora):
    """QLoRA: LoRA over frozen 4-bit weights.

    Dettmers et al. 2023, through bitsandbytes. Take it on a GPU when the base model in 16 bits does not fit:
    4-bit NormalFloat blocks of 64 with doubly quantized scales take about 0.52 bytes a weight. Each forward
    pass dequantizes, so it is slower than `lora`. On a CPU it trains the same way and gives the same class of
    result; memory there is not its gain. All fields of `lora` are there but `pissa` and `olora`, whose update is
    one over weights that are not rounded.
    """

    @dataclass
    class Config(Lora.Config):
        bnb_4bit_quant_type: str = "nf4"
        """`nf4`: levels at the quantiles of a normal distribution, as weights mostly are; `fp4`: a 4-bit float."""
        bnb_4bit_use_double_quant: bool = True
        """Quantize the blocks' scales too: 0.4 bits less a weight."""
        bnb_4bit_compute_dtype: str = "auto"
        """What 4-bit weights are multiplied in: `float32`, `bfloat16` or `float16`; `auto`: bfloat16 on a GPU and on a
        processor that computes in it, else float32."""
        paged_optimizer: bool = True
        """8-bit AdamW whose state can leave a full GPU; on a CPU plain AdamW is used."""

        def __post_init__(self) -> None:
            super().__post_init__()
            if self.bnb_4bit_quant_type not in QUANT_TYPES:
                raise ValueError(
                    f"bnb_4bit_quant_type is {self.bnb_4bit_quant_type!r}; it must be one of {', '.join(QUANT_TYPES)}"
                )
            if self.bnb_4bit_compute_dtype not in COMPUTE_DTYPES:
                raise ValueError(
                    f"bnb_4bit_compute_dtype is {self.bnb_4bit_compute_dtype!r}; it must be one of "
                    f"{', '.join(COMPUTE_DTYPES)}"
                )
            if self.init_lora_weights in RESIDUAL:
                raise ValueError(
                    f"init_lora_weights is {self.init_lora_weights!r}, which changes the base weights; the rest would "
                    "be quantized again, and the adapter would not match the base model"
                )

    def load_options(self, head: TaskHead) -> LoadOptions:
        import torch
        from transformers import BitsAndBytesConfig

        default = "bfloat16" if torch.cuda.is_available() or cpu_bfloat16_instructions() else "float32"
        compute = (
            default if self.config.bnb_4bit_compute_dtype == "auto" else self.config.bnb_4bit_compute_dtype
        )
        quantization = BitsAndBytesConfig(
            load_in_4bit=True,
            bnb_4bit_quant_type=self.config.bnb_4bit_quant_type,
            bnb_4bit_use_double_quant=self.config.bnb_4bit_use_double_quant,
            bnb_4bit_compute_dtype=getattr(torch, compute),
            # bitsandbytes cannot train a quantized head.
            llm_int8_skip_modules=list(head.head_modules),
        )
        return LoadOptions(quantization=quantization)

    def save(self, model: nn.Module, folder: Path) -> None:
        """Save as `lora` does, with the quantization in a file of its own.

        In config.json transformers would read it as a quantization of the base model's file.
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
