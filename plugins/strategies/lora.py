"""Low-rank updates beside frozen weights."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tlplug import (
    AdaptContext,
    BaseInfo,
    OptimizerSettings,
    Strategy,
    UsageError,
    present_output_modules,
    trunk_linear_names,
)

if TYPE_CHECKING:
    from torch import nn

AUTO, WEIGHTS = "auto", "adapter_model.safetensors"


class Lora(Strategy):
    """LoRA: small low-rank updates beside frozen weights.

    W + (alpha / rank) B A with W frozen, A [rank, in] random and B [out, rank] zero (Hu et al. 2022).
    Take it first: it moves a few percent of the weights, keeps the base model as it was, and comes close to
    full fine-tuning on most tasks. The head is trained whole. B is zero, so A has no gradient at the first step.
    """

    contract = 1
    # About ten times the rate of full fine-tuning (Schulman et al. 2025, "LoRA without regret").
    optimizer_defaults = OptimizerSettings(
        learning_rate=5e-4, weight_decay=0.0, schedule="linear", warmup=0.1
    )

    @dataclass
    class Config:
        rank: int = 8
        alpha: float = 16.0
        dropout: float = 0.05
        target_modules: Any = AUTO
        """`auto`: every linear layer of the trunk; else names of layers, as peft takes them."""

        def __post_init__(self) -> None:
            if self.rank < 1:
                raise ValueError(f"rank is {self.rank}; it has to be at least 1")
            if not 0.0 <= self.dropout < 1.0:
                raise ValueError(f"dropout is {self.dropout}; it has to be in [0, 1)")
            names = self.target_modules
            if names != AUTO and not (
                isinstance(names, list) and names and all(isinstance(n, str) for n in names)
            ):
                raise ValueError(f"target_modules is {names!r}; it is '{AUTO}' or a list of layer names")

    def adapt(self, model: nn.Module, context: AdaptContext) -> nn.Module:
        from peft import get_peft_model

        head = present_output_modules(model, context.head.output_modules)
        try:
            # peft freezes what it wraps, and leaves the modules to save trainable.
            return get_peft_model(model, self._peft_config(model, head))  # type: ignore[no-any-return]
        except ValueError as error:
            raise UsageError(f"strategy.target_modules={self.config.target_modules}: {error}") from error

    def _peft_config(self, model: nn.Module, head: list[str]) -> Any:
        from peft import LoraConfig

        targets = self.config.target_modules
        return LoraConfig(
            r=self.config.rank,
            lora_alpha=self.config.alpha,
            lora_dropout=self.config.dropout,
            target_modules=trunk_linear_names(model, head) if targets == AUTO else list(targets),
            modules_to_save=head or None,
        )

    def save(self, model: nn.Module, folder: Path) -> None:
        """What `peft.PeftModel.from_pretrained(base, folder)` loads; config.json says what `base` has to be."""
        model.save_pretrained(folder)
        model.config.save_pretrained(folder)

    def merge(self, model: nn.Module) -> nn.Module:
        """W + (alpha / rank) B A in the place of W."""
        return model.merge_and_unload()  # type: ignore[operator,no-any-return]

    def load(self, model: nn.Module, folder: Path, base: BaseInfo) -> nn.Module:
        from peft import PeftModel

        if not (folder / WEIGHTS).is_file():
            raise UsageError(f"{folder} holds no {WEIGHTS}; nothing else is loaded")
        return PeftModel.from_pretrained(model, folder)  # type: ignore[no-any-return]
