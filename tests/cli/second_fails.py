"""A strategy that fails in the second process alone, chosen by its dotted path."""

from tlplug.runtime.distributed import rank
from tlplug_plugins.strategies.lora import Lora


class SecondFails(Lora):
    """lora whose third step in the second process is an error."""

    contract = 1
    steps = 0

    def training_step(self, model, head, batches):
        self.steps += 1
        if rank() == 1 and self.steps == 3:
            raise ValueError("the second process has had enough")
        return super().training_step(model, head, batches)
