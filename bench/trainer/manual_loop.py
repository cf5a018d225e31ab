"""Train with a hand-written loop: the lower bound of what Lightning and tlplug's own steps cost.

    python -m bench.trainer.manual_loop OUT WORD...

The words are those of `python -m tlplug`; the figures are written to the file OUT. Rows, batches, the adapted model,
precision, scores and random numbers are tlplug's. No Trainer of Lightning or transformers runs: the loop does forward,
backward, clip and step, and neither logs nor saves.
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
from torch import nn
from torch.nn import functional
from transformers import get_scheduler, set_seed

from bench.processes import timed
from tlplug.config.compose import Composer
from tlplug.config.job import Job, build
from tlplug.interfaces import Batch
from tlplug.models.precision import autocast, resolve_precision
from tlplug.models.predict import order_outputs
from tlplug.runs.prepare import prepare
from tlplug.runtime.console import Reporter
from tlplug.training.fit import Prepared, load

CPU = torch.device("cpu")
Step = Callable[[Batch], torch.Tensor]
"""Return the loss of a batch."""


def main(words: Sequence[str]) -> None:
    out, *overrides = words
    with Composer() as composer:
        job = build(composer.compose(overrides), overrides)
    loop = Loop(job, prepare(job, Reporter()))
    costs = timed(loop.fit)
    count = sum(parameter.numel() for parameter in loop.trainable)
    figures = {**loop.scores(), **costs, "trainable_parameters": count}
    Path(out).write_text(json.dumps(figures), encoding="utf-8")


@dataclass
class Loop:
    """One fit, as a user would write it for this model and these batches."""

    job: Job
    task: Prepared
    losses: list[torch.Tensor] = field(default_factory=list)
    """The loss of every step."""

    def __post_init__(self) -> None:
        set_seed(self.task.seed)
        self.model = load(self.task, self.job.strategy, CPU)
        self.trainable = [parameter for parameter in self.model.parameters() if parameter.requires_grad]

    def fit(self) -> None:
        loader: Any = self.task.data.train_dataloader()
        epochs, clip = self.task.trainer.max_epochs, self.task.trainer.gradient_clip_val or math.inf
        optimizer, schedule = self.optimizer(len(loader) * epochs)
        step = self.step()
        for epoch in range(epochs):
            loader.order.set_epoch(epoch)
            for batch in loader:
                with self.autocast():
                    loss = step(batch)
                torch.autograd.backward(loss)
                nn.utils.clip_grad_norm_(self.trainable, clip)
                optimizer.step()
                schedule.step()
                optimizer.zero_grad()
                self.losses.append(loss.detach())

    def optimizer(self, steps: int) -> tuple[torch.optim.Optimizer, Any]:
        """Return a fused AdamW that decays matrices only, and its schedule."""
        settings: Any = self.job.optimizer.over(self.job.strategy.optimizer_defaults)
        groups: list[dict[str, Any]] = [
            {"params": [p for p in self.trainable if p.ndim > 1], "weight_decay": settings.weight_decay},
            {"params": [p for p in self.trainable if p.ndim <= 1], "weight_decay": 0.0},
        ]
        optimizer = torch.optim.AdamW(groups, lr=settings.learning_rate, fused=True)
        warmup = round(settings.warmup * steps)
        return optimizer, get_scheduler(settings.schedule, optimizer, warmup, steps)

    def autocast(self) -> Any:
        trainer = self.task.trainer
        return autocast(resolve_precision(trainer.precision, trainer.accelerator, self.task.base.dtype), CPU)

    def step(self) -> Step:
        """Return the training step, with dropout; a probe's frozen trunk runs once over the rows."""
        self.model.train()
        if self.job.strategy_name == "linear_probe":
            return self.probe_step()
        return lambda batch: self.task.head.training_step(self.model, batch).loss

    def probe_step(self) -> Step:
        features, classifier = self.features(), self.model.get_submodule("classifier")

        def step(batch: Batch) -> torch.Tensor:
            states = torch.stack([features[identity] for identity in batch["id"].tolist()])
            return functional.cross_entropy(classifier(states).float(), batch["labels"])

        return step

    @torch.no_grad()
    def features(self) -> dict[int, torch.Tensor]:
        """Return the trunk's features of each training row by its id."""
        trunk, features = self.model.get_submodule("prefix").eval(), dict[int, torch.Tensor]()
        for batch in self.task.data.single_pass("train"):
            inputs = {name: value for name, value in batch.items() if name not in ("id", "labels")}
            with self.autocast():
                features |= dict(zip(batch["id"].tolist(), trunk(**inputs), strict=True))
        return features

    @torch.inference_mode()
    def scores(self) -> dict[str, float]:
        """Return the scores of the test rows."""
        head, outputs = self.task.head, []
        self.model.eval()
        for batch in self.task.data.test_dataloader():
            with self.autocast():
                outputs += head.predict(self.model, batch)
        ordered, rows = order_outputs(outputs, self.task.rows["test"])
        return head.scores(head.decode(ordered, rows, self.task.base), rows)


if __name__ == "__main__":
    main(sys.argv[1:])
