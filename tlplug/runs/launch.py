"""Determine which process of a run this is, and check that its processes can train together."""

from __future__ import annotations

import logging
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lightning.fabric.plugins.environments.slurm import SLURMEnvironment
from lightning.fabric.plugins.environments.torchelastic import TorchElasticEnvironment
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.utilities import rank_zero_only

from tlplug.errors import UsageError
from tlplug.runs import directory as run_directory
from tlplug.runtime.distributed import broadcast, is_distributed, rank, world_size
from tlplug.settings import TrainerSettings
from tlplug.training.trainer import build_trainer

SHARDED = ("fsdp", "deepspeed", "xla_fsdp")
"""Prefixes of Lightning strategies in which each process holds only a part of the weights."""
DETACHED = ("spawn", "fork", "notebook")
"""Suffixes of Lightning strategies that train in copies of this process, which return nothing to it."""

log = logging.getLogger(__name__)


def follows(settings: TrainerSettings) -> bool:
    """Return whether this process only follows: the first process creates the run and writes its files.

    Lightning decides it from the settings and the variables of the launcher; other variables in the environment are
    ignored.

    Raises:
        UsageError: Lightning refuses the settings, its strategy is not supported, or the number of started processes
            is not the configured one.
    """
    refuse(settings.strategy)
    try:
        trainer = build_trainer(settings, (), (), "float32")
    except (MisconfigurationException, ValueError, TypeError, RuntimeError) as error:
        raise UsageError(f"trainer: {' '.join(str(error).split())}") from error
    asked = trainer.num_devices * trainer.num_nodes
    there, said = started(asked)
    if there != asked:
        raise UsageError(
            f"{said}, but trainer.devices={trainer.num_devices} and trainer.num_nodes={trainer.num_nodes} ask for {asked}"
        )
    # Lightning set it at import from any variable in the environment, and its loggers depend on it.
    rank_zero_only.rank = trainer.global_rank  # type: ignore[attr-defined]
    return trainer.global_rank > 0


def processes_of(settings: TrainerSettings) -> int:
    """Return the number of processes of a run, on all nodes."""
    trainer = build_trainer(settings, (), (), "float32")
    return int(trainer.num_devices * trainer.num_nodes)


def refuse(strategy: str) -> None:
    """Raise an error for Lightning strategies with which a run could not save or score its model."""
    if strategy.startswith(SHARDED):
        raise UsageError(
            f"trainer.strategy={strategy}: not yet. Each process would hold a part of the weights, and what is recorded, "
            "scored and saved needs all of them. Take trainer.strategy=ddp, and a strategy that loads the "
            "base model in 4 bits where it is too large"
        )
    if any(f"_{end}" in strategy for end in DETACHED):
        raise UsageError(
            f"trainer.strategy={strategy}: what its processes learn is lost with them. Take trainer.strategy=ddp"
        )


def started(asked: int) -> tuple[int, str]:
    """Return the number of started processes and a sentence on its source; `asked` where Lightning starts them."""
    if is_distributed():
        return world_size(), f"this process is one of {world_size()} that have trained together"
    if TorchElasticEnvironment.detect():
        return int(os.environ["WORLD_SIZE"]), f"torchrun started {os.environ['WORLD_SIZE']} processes"
    if SLURMEnvironment.detect():
        tasks = os.environ["SLURM_NTASKS"]
        return int(tasks), f"Slurm has {tasks} tasks for this job (SLURM_NTASKS), each of them a process"
    if asked > 1 and "LOCAL_RANK" in os.environ:
        # Lightning sets both variables for its processes; with LOCAL_RANK alone it would wait for others forever.
        there = os.environ.get("WORLD_SIZE", "1")
        return int(there), f"LOCAL_RANK is set as if a launcher had started {there} (unset it if none has)"
    return asked, ""


class Told(Callback):
    """Send the run directory from the first process to the others, so that they log failures there.

    Args:
        folder: the run directory; None in the other processes.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self.folder = folder

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        self.folder = broadcast(self.folder)

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Add a note to the exception for each killed process: otherwise it shows only a broken connection."""
        for number, process in enumerate(getattr(trainer.strategy.launcher, "procs", ()), 1):
            if (code := process.poll()) is not None and code < 0:
                killed = f"process {number} on this machine was ended by {signal.Signals(-code).name}"
                exception.add_note(f"{killed}; where nobody did that, it may have been out of memory")

    @contextmanager
    def heard(self) -> Iterator[None]:
        """Log an exception of a following process in log.txt of the run."""
        try:
            yield
        except Exception:
            if self.folder is None or not self.folder.is_dir():
                raise
            with run_directory.logged(self.folder / run_directory.LOG):
                log.error("process %d of %d:", rank(), world_size())
                raise
