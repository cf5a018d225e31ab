"""Show the progress of a run: progress.json and the bar."""

from __future__ import annotations

import logging
import time
from pathlib import Path
from typing import Any, cast

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.trainer.states import TrainerFn
from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from tlplug.reports.formatting import percent_of
from tlplug.runs.directory import PROGRESS, write_json
from tlplug.training.cost import count

log = logging.getLogger(__name__)

VERSION = 1
SECONDS = 2.0
"""Minimum time between two writes of progress.json, except after a validation."""


class ProgressFile:
    """Write progress.json for the trainings of one run, one after another.

    Args:
        folder: the run directory.
        primary: name of the validation score to write.
    """

    def __init__(self, folder: Path, primary: str) -> None:
        self.path = folder / PROGRESS
        self.primary = primary
        self.scores: list[list[float]] = []
        """Optimizer step and score of each validation in the run's own training."""

    def of(self, what: str, own: bool = False) -> Callback:
        """Return the callback that writes the progress of one training.

        Args:
            what: name of the training, such as `lora` or `baseline scratch`.
            own: true for the run's own training, false for a baseline.
        """
        return _Told(self, what, own)

    def write(self, what: str, trainer: Trainer, steps: int) -> None:
        told = {
            "version": VERSION,
            "stage": what,
            "epoch": trainer.current_epoch + 1,
            "epochs": trainer.max_epochs,
            "step": trainer.global_step,
            "steps": steps,
            "scores": self.scores,
        }
        try:
            write_json(self.path, told, durable=False)
        except OSError as error:
            # The disk may be full now and have space again before the run has to save.
            log.warning("%s could not be written (%s)", self.path, error)

    def end(self) -> None:
        self.path.unlink(missing_ok=True)


class _Told(Callback):
    def __init__(self, progress: ProgressFile, what: str, own: bool) -> None:
        self.progress, self.what, self.own = progress, what, own
        self._written = 0.0

    def state_dict(self) -> dict[str, Any]:
        return {"scores": self.progress.scores} if self.own else {}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        if self.own:
            self.progress.scores = [list(point) for point in state_dict["scores"]]

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._tell(trainer, pl_module)

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if time.monotonic() - self._written >= SECONDS:
            self._tell(trainer, pl_module)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.state.fn != TrainerFn.FITTING:
            return
        scores: dict[str, dict[str, float]] = pl_module.scores  # type: ignore[assignment]
        if self.own and "validation" in scores:
            self.progress.scores.append([trainer.global_step, scores["validation"][self.progress.primary]])
        self._tell(trainer, pl_module)

    def _tell(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.is_global_zero:
            self.progress.write(self.what, trainer, int(pl_module.total_steps))  # type: ignore[arg-type]
            self._written = time.monotonic()


WIDE = 100
"""Terminal columns from which the whole progress bar fits."""
STEPS, REFRESH_SECONDS = 10, 1.0
"""The bar is updated after so many steps, or after so many seconds where steps are slow."""


class Bar(Callback):
    """Show the progress of one fit: a bar on a terminal, and a line for each validation."""

    def __init__(self, console: Console, title: str, primary: str) -> None:
        self.console = console
        self.title = title
        self.primary = primary
        self.bar: Progress | None = None
        self._started = self._moved = 0.0

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._started = time.perf_counter()
        moving, total = count(pl_module, trainable=True), count(pl_module)
        if not trainer.is_global_zero:
            return
        share = f"trains {percent_of(moving, total)} of the weights ({moving:,} of {total:,})"
        told = f"{share}, on {pl_module.device.type}, {trainer.precision}"
        log.info("%s %s", self.title, told)
        self.console.print(f"[bold]{escape(self.title)}[/bold]  {told}", highlight=False)
        if self.console.is_terminal:
            wide = self.console.width >= WIDE
            self.bar = Progress(
                TextColumn("  epoch {task.fields[epoch]}"),
                BarColumn(40 if wide else 8),
                MofNCompleteColumn(),
                *([TimeElapsedColumn()] if wide else []),
                TimeRemainingColumn(),
                TextColumn("{task.fields[note]}"),
                console=self.console,
                transient=True,
            )
            self.bar.add_task("fit", total=cast(int, pl_module.total_steps), epoch="", note="")
            self.bar.start()

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        waited = time.perf_counter() - self._moved
        if self.bar is not None and ((batch_idx + 1) % STEPS == 0 or waited >= REFRESH_SECONDS):
            self._move(trainer)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if not trainer.is_global_zero or trainer.state.fn != TrainerFn.FITTING:
            return
        seconds = time.perf_counter() - self._started
        line = f"epoch {self._epoch(trainer)}  step {trainer.global_step}  {self._note(trainer)}  {seconds:.0f} s"
        log.info("%s %s", self.title, line)
        if self.bar is not None:
            self._move(trainer)
        else:
            self.console.print(f"  {line}", highlight=False)
        if sample := self._sample(pl_module):
            text = f"  for example: {sample}"
            self.console.print(text, markup=False, highlight=False, overflow="ellipsis", no_wrap=True)

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.stop()

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        self.stop()

    def stop(self) -> None:
        if self.bar is not None:
            self.bar.stop()
            self.bar = None

    def _move(self, trainer: Trainer) -> None:
        assert self.bar is not None
        self._moved = time.perf_counter()
        self.bar.update(
            self.bar.task_ids[0],
            completed=trainer.global_step,
            epoch=self._epoch(trainer),
            note=self._note(trainer),
        )

    def _sample(self, pl_module: Any) -> str | None:
        """Return the head's preview of the first validation prediction, if there is one."""
        for prediction in pl_module.predictions.get("validation", [])[:1]:
            row = next(row for row in pl_module.rows["validation"] if row["id"] == prediction["id"])
            return cast("str | None", pl_module.head.preview_prediction(prediction, row))
        return None

    def _epoch(self, trainer: Trainer) -> str:
        return f"{trainer.current_epoch + 1}/{trainer.max_epochs}"

    def _note(self, trainer: Trainer) -> str:
        metrics = trainer.callback_metrics
        shown = {
            "loss": cast(Any, trainer.lightning_module).loss,
            f"validation {self.primary}": metrics.get(f"validation/{self.primary}"),
        }
        return "  ".join(f"{name} {float(value):.3f}" for name, value in shown.items() if value is not None)
