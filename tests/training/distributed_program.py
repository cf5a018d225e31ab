"""What several processes train together, as a program.

torchrun --nproc-per-node=2 -m tests.training.distributed_program BASE OUT
"""

import os
import sys
from dataclasses import replace
from pathlib import Path
from unittest.mock import patch

import torch
from lightning.pytorch import Callback

from tests.training.sample_tasks import QUICK, prepare
from tlplug.interfaces.registry import Registry
from tlplug.models.base_model import find_base
from tlplug.runtime.distributed import barrier, gather, rank
from tlplug.settings import ModelSettings, OptimizerSettings
from tlplug.training.fit import TrainingHooks, adapt

BATCH, ROWS = 8, 48
"""Rows of a batch over all processes; rows of an epoch."""
FIELDS = {"full": {}, "lora": {"lora_dropout": 0.0}, "qlora": {"lora_dropout": 0.0}}
SETTINGS = OptimizerSettings(learning_rate=0.1, schedule="constant", warmup=0.0, weight_decay=0.0)


def without_dropout(tiny_folder, folder):
    """The tiny base model with no chance in its training, saved in `folder`."""
    from transformers import AutoModel, AutoTokenizer

    model = AutoModel.from_pretrained(tiny_folder)
    model.config.hidden_dropout_prob = model.config.attention_probs_dropout_prob = 0.0
    model.save_pretrained(folder)
    AutoTokenizer.from_pretrained(tiny_folder).save_pretrained(folder)
    return folder


class Noted(Callback):
    """The gradients of the last step."""

    def on_train_batch_end(self, trainer, pl_module, *given):
        moving = pl_module.model.named_parameters()
        self.gradients = {name: value.grad.clone() for name, value in moving if value.grad is not None}


def with_sgd(name):
    """The strategy, whose rounding differences AdamW would not blow up."""
    cls = Registry().find("strategy", name).load()

    class WithSgd(cls):
        contract = 1

        def optimizer(self, groups, settings):
            return torch.optim.SGD(groups, lr=settings.learning_rate)

    return WithSgd(cls.Config(**FIELDS[name]))


def trained(name, folder, processes, checkpointing=False, rows=ROWS):
    """Gradients of the last step, and what moved, after one epoch: {"gradient NAME": tensor, "weight NAME": tensor}."""
    base = find_base(ModelSettings(source=str(folder), gradient_checkpointing=checkpointing))
    task = prepare(
        base,
        trainer=replace(QUICK, devices=processes, gradient_clip_val=None),
        train=rows,
        batch_size=BATCH // processes,
    )
    # Two processes with a worker each for every loader see the batches of one without.
    task.data.num_workers = processes - 1
    noted = Noted()
    model, outcome = adapt(task, with_sgd(name), SETTINGS, TrainingHooks(callbacks=[noted]))
    moved = {name: value.detach() for name, value in model.named_parameters() if value.requires_grad}
    return {
        **{f"gradient {name}": value for name, value in noted.gradients.items()},
        **{f"weight {name}": value.contiguous() for name, value in moved.items()},
        "score": torch.tensor(outcome.example_scores, dtype=torch.float64),
    }


def checkpointed(folder, processes):
    """The same after one step with gradient checkpointing."""
    return trained("lora", folder, processes, checkpointing=True, rows=BATCH)


def main(folder, out):
    from safetensors.torch import save_file

    head = Registry().find("head", "classification").load()
    with patch.object(head, "encode", autospec=True, side_effect=head.encode) as encode:
        found = {name: trained(name, folder, 2) for name in FIELDS} | {
            "checkpointed": checkpointed(folder, 2)
        }
    found["encoded"] = {"calls": torch.tensor(gather([encode.call_count]))}
    if rank() == 0:
        for name, tensors in found.items():
            save_file(tensors, Path(out) / f"{name}.safetensors")


if __name__ == "__main__":
    main(*sys.argv[1:])
    # All have written: what torch's and gloo's threads do at the end of a process is not what is tested, and may abort it.
    barrier()
    os._exit(0)
