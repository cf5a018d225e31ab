"""Cache the outcome of a training run under a hash of all that determines it."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from functools import cached_property
from importlib.metadata import version
from typing import Any

from tlplug.data.feature_keys import plugin_identity
from tlplug.interfaces import CONTRACT, Outcome, Strategy
from tlplug.models.precision import resolve_precision
from tlplug.runtime import cache
from tlplug.runtime.distributed import broadcast, rank
from tlplug.settings import OptimizerSettings
from tlplug.training.fit import Prepared, TrainingHooks, adapt, outcome
from tlplug.training.trainer import build_trainer

KIND = "outcomes"
ORIGIN = ("_name_or_path", "transformers_version", "dtype", "architectures")
"""Fields of a model's config that do not change a model made from it."""
LIBRARIES = ("tlplug", "torch", "transformers", "lightning")


@dataclass(frozen=True)
class Outcomes:
    """The cached outcomes of a prepared task, with any strategy."""

    task: Prepared

    def trivial(self) -> Outcome | None:
        """Return the outcome of the head's trivial predictions, which need no training; None where it has none."""
        rows, head = self.task.rows, self.task.head
        predictions = head.trivial_predictions(rows["train"], rows["test"], self.task.base)
        return None if predictions is None else outcome(head, predictions, rows["test"])

    def stored(self, strategy: Strategy, optimizer: OptimizerSettings) -> Outcome | None:
        """Return the outcome of the same training, if it is cached."""
        # Only one process reads: the others might read after the first has written.
        stored = broadcast(cache.read(KIND, self.key(strategy, optimizer)))
        return None if stored is None else Outcome(**stored)

    def is_stored(self, strategy: Strategy, optimizer: OptimizerSettings) -> bool:
        """Return whether the outcome is cached; unlike `stored`, in one process alone."""
        return cache.read(KIND, self.key(strategy, optimizer)) is not None

    def train(self, strategy: Strategy, optimizer: OptimizerSettings, hooks: TrainingHooks) -> Outcome:
        """Train, and cache the outcome; the strategy's defaults fill in unset fields of `optimizer`."""
        key = self.key(strategy, optimizer)
        _, trained = adapt(self.task, strategy, optimizer, hooks)
        if rank() == 0:
            cache.write(KIND, key, asdict(trained))
        return trained

    def key(self, strategy: Strategy, optimizer: OptimizerSettings) -> str:
        """Return a hash of everything that determines the predictions."""
        data = self.task.data.with_streams(strategy.extra_data)
        return cache.key_of(
            {
                "fields": [field.name for field in fields(Outcome)],
                "contract": CONTRACT,
                "strategy": plugin_identity(strategy),
                "streams": {stream: features.key for stream, features in data.streams.items()},
                "optimizer": asdict(optimizer.over(strategy.optimizer_defaults)),
                "weights": self._weights(strategy),
                **self.task_parts,
            }
        )

    def _weights(self, strategy: Strategy) -> Any:
        """Random ones are those of every base model of the same architecture."""
        if not strategy.load_options(self.task.head).random_weights:
            return self.task.base.fingerprint
        config = self.task.base.config.to_dict()
        return {name: value for name, value in config.items() if name not in ORIGIN}

    @cached_property
    def task_parts(self) -> dict[str, Any]:
        task = self.task
        head = type(task.head)
        return {
            "head": [f"{head.__module__}.{head.__qualname__}", asdict(task.head.config), task.head.state],
            "base": {
                name: getattr(task.base, name)
                for name in ("max_length", "attention", "dtype", "fast_dropout", "compile")
            },
            "data": task.data.digest(),
            "trainer": [
                asdict(task.trainer),
                resolve_precision("auto", task.trainer.accelerator, task.base.dtype),
            ],
            "seed": task.seed,
            # The number of processes of the fit, which have not started yet.
            "processes": build_trainer(task.trainer, (), (), task.base.dtype).world_size,
            "libraries": {name: version(name) for name in LIBRARIES},
        }
