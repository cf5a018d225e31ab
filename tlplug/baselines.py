"""What a run is compared with: further trainings on the same examples in the same order, cached across runs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from importlib.metadata import version
from typing import Any

from lightning.pytorch import Callback

from tlplug import cache
from tlplug.contracts import CONTRACT, OptimizerSettings, Outcome, Strategy
from tlplug.data.features import code_digest
from tlplug.frozen import Counting, silent
from tlplug.precision import best_precision
from tlplug.processes import from_first, rank, world_size
from tlplug.training import Prepared, adapt, outcome

KIND = "baselines"
LIBRARIES = ("tlplug", "torch", "transformers", "lightning")


@dataclass(frozen=True)
class Baselines:
    """Trains, or takes from the cache, what one prepared task is compared with."""

    task: Prepared
    callbacks: Callable[[str], Sequence[Callback]]
    """Given a baseline's name, what shows its progress."""
    counting: Counting = silent

    def run(self, name: str, strategy: Strategy | None) -> Outcome:
        """The baseline's outcome on the test split; None stands for the head's own guess."""
        if strategy is None:
            rows, head = self.task.rows, self.task.head
            return outcome(head, head.trivial(rows["train"], rows["test"], self.task.base), rows["test"])
        key = self.key(name, strategy)
        # One process looks, all follow: the others would look after the first has written.
        stored = from_first(cache.read(KIND, key))
        if stored is not None:
            return Outcome(**stored)
        shown = self.callbacks(name)
        _, trained = adapt(self.task, strategy, OptimizerSettings(), callbacks=shown, counting=self.counting)
        if rank() == 0:
            cache.write(KIND, key, asdict(trained))
        return trained

    def key(self, name: str, strategy: Strategy) -> str:
        """A hash of what determines the baseline's predictions."""
        cls = type(strategy)
        data = self.task.data.with_streams((*strategy.streams, *strategy.optional_streams))
        return cache.key_of(
            {
                "contract": CONTRACT,
                "strategy": [
                    f"{cls.__module__}.{cls.__qualname__}",
                    asdict(strategy.config),
                    code_digest(cls),
                ],
                "streams": {stream: features.key for stream, features in data.streams.items()},
                "optimizer": asdict(strategy.optimizer_defaults),
                **self.task_parts,
            }
        )

    @cached_property
    def task_parts(self) -> dict[str, Any]:
        task = self.task
        head = type(task.head)
        return {
            "head": [f"{head.__module__}.{head.__qualname__}", asdict(task.head.config), task.head.labels],
            "base": [task.base.fingerprint, task.base.max_length, task.base.attention, task.base.dtype],
            "data": task.data.digest(),
            "trainer": [asdict(task.trainer), best_precision(task.trainer.accelerator, task.base.dtype)],
            "seed": task.seed,
            "processes": world_size(),
            "libraries": {name: version(name) for name in LIBRARIES},
        }
