from dataclasses import dataclass

from tlplug import AdaptContext, OptimizerSettings, Strategy, modules_to_save


class BiasAndNorm(Strategy):
    """Only biases, normalisation layers and the head move."""

    contract = 1
    optimizer_defaults = OptimizerSettings(
        learning_rate=2e-3, weight_decay=0.0, schedule="linear", warmup=0.1
    )

    @dataclass
    class Config:
        norms: bool = True

    def adapt(self, model, context: AdaptContext):
        head = modules_to_save(model, context.head.head_modules)
        for name, parameter in model.named_parameters():
            parameter.requires_grad = self.moves(name, head)
        return model

    def moves(self, name: str, head) -> bool:
        norm = self.config.norms and "norm" in name.lower()
        return name.endswith("bias") or norm or any(name.startswith(f"{module}.") for module in head)
