"""A training loop written by hand, over what tlplug trains: the bound that Lightning and tlplug's own steps are held to.

    python -m bench.trainer.manual_loop OUT WORD...

The words are those of `python -m tlplug`; the figures go to the file OUT. Rows, batches, the model with what the strategy
adds to it, number format and scores are tlplug's, and so are the random numbers. No Trainer, Lightning's or transformers',
runs: forward, backward, clip, step, and nothing logged, kept, watched or compared.
"""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from torch import nn
from torch.nn import functional
from transformers import get_scheduler, set_seed

from bench.trainer.timing import spent
from tlplug.config.compose import Composer
from tlplug.config.job import Job, build
from tlplug.interfaces import Batch
from tlplug.models.precision import autocast, resolve_precision
from tlplug.models.predict import order_outputs
from tlplug.runs.prepare import prepare
from tlplug.training.fit import Prepared, load

CPU = torch.device("cpu")
Step = Callable[[Batch], torch.Tensor]
"""The loss of a batch."""


def main(words: Sequence[str]) -> None:
    out, *asked = words
    with Composer() as composer:
        job = build(composer.compose(asked), asked)
    loop = Loop(job, prepare(job, Console(quiet=True)))
    costs = spent(loop.fit)
    moving = sum(parameter.numel() for parameter in loop.moving)
    figures = {**loop.scores(), **costs, "trainable_parameters": moving}
    Path(out).write_text(json.dumps(figures), encoding="utf-8")


@dataclass
class Loop:
    """One fit, as its author would write it for this model and these batches."""

    job: Job
    task: Prepared
    losses: list[torch.Tensor] = field(default_factory=list)
    """Of every step."""

    def __post_init__(self) -> None:
        set_seed(self.task.seed)
        self.model = load(self.task, self.job.strategy, CPU)
        self.moving = [parameter for parameter in self.model.parameters() if parameter.requires_grad]

    def fit(self) -> None:
        loader: Any = self.task.data.train_dataloader()
        epochs, clip = self.task.trainer.max_epochs, self.task.trainer.gradient_clip_val or math.inf
        optimizer, schedule = self.optimizer(len(loader) * epochs)
        step = self.step()
        for epoch in range(epochs):
            loader.order.set_epoch(epoch)
            for batch in loader:
                with self.format():
                    loss = step(batch)
                torch.autograd.backward(loss)
                nn.utils.clip_grad_norm_(self.moving, clip)
                optimizer.step()
                schedule.step()
                optimizer.zero_grad()
                self.losses.append(loss.detach())

    def optimizer(self, steps: int) -> tuple[torch.optim.Optimizer, Any]:
        """Fused AdamW, which decays matrices alone, and its schedule."""
        settings: Any = self.job.optimizer.over(self.job.strategy.optimizer_defaults)
        groups: list[dict[str, Any]] = [
            {"params": [p for p in self.moving if p.ndim > 1], "weight_decay": settings.weight_decay},
            {"params": [p for p in self.moving if p.ndim <= 1], "weight_decay": 0.0},
        ]
        optimizer = torch.optim.AdamW(groups, lr=settings.learning_rate, fused=True)
        warmup = round(settings.warmup * steps)
        return optimizer, get_scheduler(settings.schedule, optimizer, warmup, steps)

    def format(self) -> Any:
        trainer = self.task.trainer
        return autocast(resolve_precision(trainer.precision, trainer.accelerator, self.task.base.dtype), CPU)

    def step(self) -> Step:
        """With dropout; a probe's trunk, which does not move, is left behind after one pass over the rows."""
        self.model.train()
        if self.job.strategy_name == "linear_probe":
            return self.probing()
        return lambda batch: self.task.head.training_step(self.model, batch).loss

    def probing(self) -> Step:
        features, classifier = self.features(), self.model.get_submodule("classifier")

        def step(batch: Batch) -> torch.Tensor:
            states = torch.stack([features[identity] for identity in batch["id"].tolist()])
            return functional.cross_entropy(classifier(states).float(), batch["labels"])

        return step

    @torch.no_grad()
    def features(self) -> dict[int, torch.Tensor]:
        """What a probe reads of each training row, by its id."""
        trunk, found = self.model.get_submodule("prefix").eval(), dict[int, torch.Tensor]()
        for batch in self.task.data.single_pass("train"):
            inputs = {name: value for name, value in batch.items() if name not in ("id", "labels")}
            with self.format():
                found |= dict(zip(batch["id"].tolist(), trunk(**inputs), strict=True))
        return found

    @torch.inference_mode()
    def scores(self) -> dict[str, float]:
        """Of the test rows."""
        head, outputs = self.task.head, []
        self.model.eval()
        for batch in self.task.data.test_dataloader():
            with self.format():
                outputs += head.predict(self.model, batch)
        found, rows = order_outputs(outputs, self.task.rows["test"])
        return head.scores(head.decode(found, rows, self.task.base), rows)


if __name__ == "__main__":
    main(sys.argv[1:])
