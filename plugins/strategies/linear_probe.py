"""Train a linear classifier on frozen features."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from tlplug import (
    AdaptContext,
    BaseInfo,
    Capabilities,
    FrozenPrefix,
    OptimizerSettings,
    Strategy,
    TaskHead,
    UsageError,
)

if TYPE_CHECKING:
    from torch import nn
    from transformers import PreTrainedModel

    from tlplug_plugins.strategies.layers.features import Probe

POOLINGS = ("mean", "cls", "last", "layer_mean")
WEIGHTS, FORMAT = "probe.safetensors", "probe.json"
VERSION = 1
"""The version of the JSON files that describe saved weights."""
NEEDS_LOGITS = "it works with classification and other heads with one vector of logits for each row."
"""The reason why a strategy rejects a head without `logits_per_row`."""


class LinearProbe(Strategy):
    """Train one linear layer on the features of the frozen base model.

    logits = W pool(h) + b over the frozen trunk's hidden states h [T, D] (Alain & Bengio 2017): what the base model's
    features contain. The trunk runs once over each example, whatever the number of epochs. Take it first, as a
    baseline, where the base model must stay untouched, or where there is hardly any data; not where the task needs
    features that the base model does not have.
    """

    contract = 1
    optimizer_defaults = OptimizerSettings(
        learning_rate=1e-2, weight_decay=0.01, schedule="linear", warmup=0.1
    )
    capabilities = Capabilities(mergeable=False)
    saved_folder = "probe"

    @dataclass
    class Config:
        pooling: str = "mean"
        """`mean` over real tokens, `cls` (the first token), `last` (the last real one, of a decoder the only one that
        has seen all), `layer_mean` (the mean over tokens and layers). A picture's patches are its tokens. The
        pooler of a BERT-like model is not read: it was trained for something else."""
        cache: bool = True
        """Cache the trunk's output on disk, so that it is computed once."""

        def __post_init__(self) -> None:
            if self.pooling not in POOLINGS:
                raise ValueError(f"pooling is {self.pooling!r}; it must be one of {', '.join(POOLINGS)}")

    def why_incompatible(self, head: TaskHead, base: BaseInfo | None = None) -> str | None:
        return None if head.logits_per_row else NEEDS_LOGITS

    def adapt(self, model: nn.Module, context: AdaptContext) -> nn.Module:
        from tlplug_plugins.strategies.layers.features import Probe

        pretrained = cast("PreTrainedModel", model)
        config = pretrained.config
        features = config.get_text_config().hidden_size
        return Probe(trunk(pretrained), self.config.pooling, features, config.num_labels)

    def frozen_prefix(self, model: nn.Module) -> FrozenPrefix:
        prefix = cast("Probe", model).prefix
        return FrozenPrefix([prefix], [prefix] if self.config.cache else [])

    def save(self, model: nn.Module, folder: Path) -> None:
        """Write `probe.safetensors` (weight [K, D], bias [K]) and `probe.json` (the features and labels)."""
        from safetensors.torch import save_file

        folder.mkdir(parents=True, exist_ok=True)
        probe = cast("Probe", model)
        save_file(
            {name: tensor.contiguous() for name, tensor in probe.classifier.state_dict().items()},
            folder / WEIGHTS,
        )
        config = probe.prefix.trunk.config
        write_config(
            folder / FORMAT,
            pooling=probe.prefix.pooling,
            id2label=config.id2label,
            base=config.name_or_path,
        )

    def load(self, model: nn.Module, folder: Path, base: BaseInfo) -> nn.Module:
        from safetensors.torch import load_file

        from tlplug_plugins.strategies.layers.features import Probe

        config = read_config(folder / FORMAT)
        weights = load_file(folder / WEIGHTS)
        labels, features = weights["weight"].shape
        probe = Probe(trunk(cast("PreTrainedModel", model)), config["pooling"], features, labels)
        probe.classifier.load_state_dict(weights)
        return probe


def trunk(model: PreTrainedModel) -> nn.Module:
    """Return the frozen model without its head; of an encoder-decoder, the encoder."""
    module = model.get_encoder() if model.config.is_encoder_decoder else model.base_model
    if getattr(module, "pooler", None) is not None:
        module.pooler = None  # unused, and random if the base model was saved without one
    return module.requires_grad_(False)  # type: ignore[no-any-return]


def write_config(path: Path, **values: Any) -> None:
    path.write_text(json.dumps({"version": VERSION, **values}, indent=2) + "\n", encoding="utf-8")


def read_config(path: Path) -> dict[str, Any]:
    """Read a file of `write_config`.

    Raises:
        UsageError: the file has another version of the format.
    """
    config: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    if config["version"] != VERSION:
        raise UsageError(f"{path}: format version {config['version']}; this tlplug reads version {VERSION}")
    return config
