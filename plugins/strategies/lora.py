"""Train low-rank updates beside frozen weights."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tlplug import AdaptContext, LowRankUpdate, OptimizerSettings, backbone_linear_names
from tlplug_plugins.strategies.bases.peft_method import AUTO, PeftMethod, check_names

if TYPE_CHECKING:
    from torch import nn
    from transformers import PreTrainedModel

INITIALIZATIONS = {
    "default": True,
    "gaussian": "gaussian",
    "pissa": "pissa",
    "olora": "olora",
    "eva": "eva",
}
"""The value of `init_lora_weights` -> peft's value."""
RESIDUAL = ("pissa", "olora")
"""The initializations that take a part out of the base weights and train it."""


class Lora(PeftMethod):
    """LoRA: small low-rank updates beside frozen weights.

    W + s B A with W [out, in] frozen, A [r, in] random, B [out, r] zero and s = lora_alpha / r (Hu et al. 2022).
    Take it first: it trains a few percent of the weights, leaves the base model unchanged, and comes close to
    full fine-tuning on most tasks. Not where there is so much new to learn that a low rank cannot hold it (another
    language, millions of rows). The head is trained whole. B is zero, so A has no gradient at the first step.

    `use_rslora`: s = lora_alpha / sqrt(r), so that the updates do not shrink with the rank (Kalajdzievski 2023); from
    a rank of 32 on. `use_dora`: m (W + s B A) / |W + s B A|, each output's norm m [out] trained apart (Liu et al. 2024);
    a little better at low ranks, and slower. `loraplus_lr_ratio`: B learns so many times as fast as A (LoRA+, Hayou et al.
    2024). `init_lora_weights`: `pissa` trains W's own first singular vectors (Meng et al. 2024), `olora` the first columns
    of its QR decomposition (Büyükakyüz 2024), `eva` starts A from the first singular vectors of each layer's inputs and
    gives a layer the more rank the more of them it needs (Paischer et al. 2024), `gaussian` draws A from a normal
    distribution.
    """

    contract = 1
    # About ten times the rate of full fine-tuning (Schulman et al. 2025, "LoRA without regret").
    optimizer_defaults = OptimizerSettings(
        learning_rate=5e-4, weight_decay=0.0, schedule="linear", warmup=0.1
    )

    @dataclass
    class Config:
        r: int = 8
        """The rank of the update."""
        lora_alpha: float = 16.0
        """The update is scaled by lora_alpha / r."""
        lora_dropout: float = 0.05
        """The share of a layer's inputs that the update drops in a training step."""
        target_modules: Any = AUTO
        """`auto`: every linear layer of the trunk; else names of layers, as peft takes them."""
        use_rslora: bool = False
        """Scale by lora_alpha / sqrt(r)."""
        use_dora: bool = False
        """Train the norms of the weights' rows apart from their directions."""
        loraplus_lr_ratio: float = 1.0
        """The learning rate of B over that of A; LoRA+ takes about 16."""
        init_lora_weights: str = "default"
        """`default`, `gaussian`, `pissa`, `olora` or `eva`."""

        def __post_init__(self) -> None:
            if self.r < 1:
                raise ValueError(f"r is {self.r}; it must be at least 1")
            if self.lora_alpha <= 0:
                raise ValueError(f"lora_alpha is {self.lora_alpha}; it must be above 0")
            if not 0.0 <= self.lora_dropout < 1.0:
                raise ValueError(f"lora_dropout is {self.lora_dropout}; it must be in [0, 1)")
            if self.loraplus_lr_ratio <= 0:
                raise ValueError(
                    f"loraplus_lr_ratio is {self.loraplus_lr_ratio}; it must be above 0 (1: no difference)"
                )
            if self.init_lora_weights not in INITIALIZATIONS:
                raise ValueError(
                    f"init_lora_weights is {self.init_lora_weights!r}; it must be one of {', '.join(INITIALIZATIONS)}"
                )
            check_names("target_modules", self.target_modules)

    def peft_config(self, model: PreTrainedModel, head: list[str]) -> Any:
        from peft import LoraConfig

        targets = self.config.target_modules
        return LoraConfig(
            r=self.config.r,
            lora_alpha=self.config.lora_alpha,
            lora_dropout=self.config.lora_dropout,
            target_modules=backbone_linear_names(model, head) if targets == AUTO else list(targets),
            modules_to_save=head or None,
            use_rslora=self.config.use_rslora,
            use_dora=self.config.use_dora,
            init_lora_weights=INITIALIZATIONS[self.config.init_lora_weights],
        )

    def adapt(self, model: nn.Module, context: AdaptContext) -> nn.Module:
        from tlplug_plugins.strategies.layers import low_rank

        adapted = super().adapt(model, context)
        if self.config.init_lora_weights == "eva":
            low_rank.start_from_inputs(adapted, context)
        if self.config.init_lora_weights in RESIDUAL:
            low_rank.remember_start(adapted)
        if context.precision.endswith("-mixed"):
            low_rank.disable_input_casting(adapted)
        return adapted

    def parameter_groups(self, model: nn.Module, settings: OptimizerSettings) -> list[dict[str, Any]]:
        groups = super().parameter_groups(model, settings)
        if self.config.loraplus_lr_ratio == 1.0:
            return groups
        rate = self.config.loraplus_lr_ratio * (settings.learning_rate or 0.0)
        fast = {id(value) for name, value in model.named_parameters() if ".lora_B." in name}
        split = [
            {**group, **changes, "params": [p for p in group["params"] if (id(p) in fast) == bool(changes)]}
            for group in groups
            for changes in ({}, {"lr": rate})
        ]
        return [group for group in split if group["params"]]

    def low_rank_updates(self, model: nn.Module) -> dict[str, LowRankUpdate]:
        from tlplug_plugins.strategies.layers import low_rank

        return low_rank.updates(model)

    def save(self, model: nn.Module, folder: Path) -> None:
        """Save as every method of peft; a `pissa` or `olora` adapter is rewritten as an update of the whole W."""
        super().save(model, folder)
        if self.config.init_lora_weights in RESIDUAL:
            from tlplug_plugins.strategies.layers import low_rank

            low_rank.write_over_whole_weights(model, folder)
