"""Train all weights."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tlplug import AdaptContext, BaseInfo, OptimizerSettings, Strategy, TaskHead, parameter_depths

if TYPE_CHECKING:
    from torch import nn


class Full(Strategy):
    """Full fine-tuning: every weight is trained.

    Howard & Ruder 2018; Devlin et al. 2019. With `layer_decay` below 1, deeper weights have lower learning rates: depth
    d (0 for the embeddings, n + 1 for the modules above the n blocks) has the rate learning_rate * layer_decay ** (n + 1
    - d) (Howard & Ruder 2018, "discriminative fine-tuning"; Clark et al. 2020 take 0.8 for 12 and 0.9 for 24 blocks).

    Take it where there are many rows or the task is far from the base model, and there is memory for the
    gradients and AdamW's two moments of every weight. With few rows it forgets most; `layer_decay` lessens that.
    """

    contract = 1
    optimizer_defaults = OptimizerSettings(
        learning_rate=5e-5, weight_decay=0.01, schedule="linear", warmup=0.1
    )
    saved_folder = "model"

    @dataclass
    class Config:
        layer_decay: float = 1.0
        """The rate of a block over that of the one above it; 1: all have the same."""

        def __post_init__(self) -> None:
            if not 0.0 < self.layer_decay <= 1.0:
                raise ValueError(f"layer_decay is {self.layer_decay}; it must be above 0 and at most 1")

    def why_incompatible(self, head: TaskHead, base: BaseInfo | None = None) -> str | None:
        return None if base is None or self.config.layer_decay == 1.0 else require_depths(base)

    def adapt(self, model: nn.Module, context: AdaptContext) -> nn.Module:
        return model.requires_grad_(True)

    def parameter_groups(self, model: nn.Module, settings: OptimizerSettings) -> list[dict[str, Any]]:
        groups = super().parameter_groups(model, settings)
        return groups if self.config.layer_decay == 1.0 else self._by_depth(model, groups, settings)

    def _by_depth(
        self, model: nn.Module, groups: list[dict[str, Any]], settings: OptimizerSettings
    ) -> list[dict[str, Any]]:
        """Split each group by depth, from the top down, with the learning rate of each depth."""
        depth_of = {id(model.get_parameter(name)): depth for name, depth in parameter_depths(model).items()}
        top, split = max(depth_of.values()), []
        for group in groups:
            members = defaultdict(list)
            for parameter in group["params"]:
                members[depth_of[id(parameter)]].append(parameter)
            for depth in sorted(members, reverse=True):
                rate = (settings.learning_rate or 0.0) * self.config.layer_decay ** (top - depth)
                split.append({**group, "params": members[depth], "lr": rate})
        return split

    def save(self, model: nn.Module, folder: Path) -> None:
        """Save the model for `AutoModelFor...from_pretrained(folder)`."""
        model.save_pretrained(folder)

    def load(self, model: nn.Module, folder: Path, base: BaseInfo) -> nn.Module:
        return type(model).from_pretrained(folder, use_safetensors=True)  # type: ignore[attr-defined, no-any-return]


def require_depths(base: BaseInfo) -> str | None:
    """Return the reason why the depths of the base model's parameters are unknown; None if they are known."""
    from tlplug_plugins.strategies.layers import outline

    try:
        parameter_depths(outline(base))
    except ValueError as error:
        return f"it needs the depth of each parameter, but {error}."
    return None
