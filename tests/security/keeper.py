"""A strategy with secrets among its settings, by its dotted path."""

import logging
from dataclasses import dataclass

from tlplug import OptimizerSettings, Strategy


class Keeper(Strategy):
    """Moves everything; logs nothing that it knows."""

    contract = 1
    optimizer_defaults = OptimizerSettings(1e-3, 0.0, "linear", 0.0)
    saved_folder = "model"

    @dataclass
    class Config:
        api_key: str = ""
        hf_token: str = ""
        db_password: str = ""
        client_secret: str = ""
        num_memory_tokens: int = 4
        fails: bool = False

    def adapt(self, model, context):
        return model

    def training_step(self, model, head, batches):
        logging.getLogger(__name__).warning("a step with %d memory tokens", self.config.num_memory_tokens)
        if self.config.fails:
            self.refuse(self.config.api_key)
        return super().training_step(model, head, batches)

    def refuse(self, key):
        raise RuntimeError(f"the service said no to a key of {len(key)} letters")

    def save(self, model, folder):
        model.save_pretrained(folder)
