"""Plugins that pass: what the broken twins are made of."""

from dataclasses import dataclass

from tlplug import OptimizerSettings, Strategy, TransferMetric, modules_to_save
from tlplug.interfaces.registry import Registry


class SoundStrategy(Strategy):
    """Biases, norms and the head move."""

    contract = 1
    optimizer_defaults = OptimizerSettings(
        learning_rate=2e-3, weight_decay=0.0, schedule="linear", warmup=0.1
    )

    @dataclass
    class Config:
        norms: bool = True
        share: float = 1.0

        def __post_init__(self):
            if not 0.0 < self.share <= 1.0:
                raise ValueError(f"share is {self.share}; it has to be in (0, 1]")

    def adapt(self, model, context):
        head = modules_to_save(model, context.head.head_modules)
        for name, parameter in model.named_parameters():
            in_head = any(f"{name}.".startswith(f"{module}.") for module in head)
            parameter.requires_grad = in_head or name.endswith("bias") or "norm" in name.lower()
        return model


class SoundHead(Registry().find("head", "classification").load()):
    """One label for a text."""


class SoundMetric(TransferMetric):
    """The mean of the scores."""

    contract = 1
    requires = frozenset({"example_scores/after"})
    higher_is_better = True

    def measure(self, evidence):
        return {"mean": float(evidence["example_scores/after"].mean())}
