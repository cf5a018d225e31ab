"""Train the strategy of a run and its baselines; each training can be resumed."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from lightning.pytorch import Callback
from lightning.pytorch.loggers import Logger
from torch import nn

from tlplug.config.job import Job
from tlplug.errors import TrainingFailed
from tlplug.evaluation.recorder import Recorder
from tlplug.interfaces import Outcome, Strategy
from tlplug.models.base_model import sampled_digest
from tlplug.runs.launch import Told
from tlplug.runs.progress import Bar, ProgressFile
from tlplug.runtime.console import Reporter
from tlplug.runtime.signals import StopRequest
from tlplug.settings import OptimizerSettings
from tlplug.training.checkpoint import Checkpoints
from tlplug.training.checkpoint_files import FOLDER
from tlplug.training.fit import Prepared, TrainingHooks, adapt
from tlplug.training.outcome_cache import Outcomes

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Trainings:
    """The trainings of one run: its own strategy, then its baselines."""

    job: Job
    task: Prepared
    folder: Path | None
    """The run directory; None in a following process that has not received it."""
    stop: StopRequest
    progress: ProgressFile | None
    """None in a following process."""
    reporter: Reporter

    def own(
        self, recorder: Recorder | None, loggers: Sequence[Logger], told: Told | None = None
    ) -> tuple[nn.Module, Outcome]:
        """Train the run's own strategy."""
        name = self.job.strategy_name
        hooks = TrainingHooks(
            loggers=loggers,
            callbacks=[*self._shown(name, own=True), told or Told(self.folder)],
            reporter=self.reporter,
            watch=recorder,
            checkpoints=self.checkpoints(),
        )
        return adapt(self.task, self.job.strategy, self.job.optimizer, hooks)

    def baselines(self) -> dict[str, Outcome]:
        """Return the outcome of each baseline, trained or from the cache."""
        cached = Outcomes(self.task)
        outcomes: dict[str, Outcome] = {}
        for name, strategy in self.job.baselines.items():
            found = cached.trivial() if strategy is None else self._baseline(name, strategy, cached)
            if found is None:
                log.warning("no baseline %s: head %s has no trivial predictions", name, self.job.head_name)
            else:
                outcomes[name] = found
        return outcomes

    def _baseline(self, name: str, strategy: Strategy, cached: Outcomes) -> Outcome:
        own = OptimizerSettings()
        if (found := cached.stored(strategy, own)) is not None:
            return found
        hooks = TrainingHooks(
            callbacks=self._shown(f"baseline {name}"),
            reporter=self.reporter,
            checkpoints=self.checkpoints(name),
        )
        try:
            return cached.train(strategy, own, hooks)
        except TrainingFailed as failed:
            # Of several processes only one reports the error; the message of the others is empty.
            raise TrainingFailed(f"baseline {name}: {failed}" if str(failed) else "") from failed

    def checkpoints(self, name: str = "") -> Checkpoints:
        """Return the checkpoints of the run's own training, or of the named baseline."""
        head = self.task.head
        return Checkpoints(
            None if self.folder is None else self.folder / FOLDER / name,
            self.job.checkpoint if not name else self.job.checkpoint.of_baseline(),
            self._identity,
            head.primary_score,
            head.higher_is_better,
            self.stop,
        )

    @cached_property
    def _identity(self) -> dict[str, str]:
        """Base model and data, which must be unchanged where a training is resumed from a checkpoint."""
        base = self.task.base
        named = " ".join(filter(None, (base.source, base.revision, sampled_digest(base)[:16])))
        return {"base model": named, "data": self.task.data.digest()[:16]}

    def _shown(self, title: str, own: bool = False) -> list[Callback]:
        bar = Bar(self.reporter.console, title, self.task.head.primary_score)
        return [bar] if self.progress is None else [bar, self.progress.of(title, own)]

    def end(self) -> None:
        """Remove progress.json, and the checkpoints unless `checkpoint.keep_last` is set."""
        if self.progress is not None:
            self.progress.end()
        if self.folder is not None and not self.job.checkpoint.keep_last:
            shutil.rmtree(self.folder / FOLDER, ignore_errors=True)
