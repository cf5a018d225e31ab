"""Before a run begins: which of its processes this is, and whether they can train together."""

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
"""Beginnings of the names of Lightning's strategies that leave each process a part of the weights."""
DETACHED = ("spawn", "fork", "notebook")
"""Ends of the names of those that train in copies of this process, which give nothing back to it."""

log = logging.getLogger(__name__)


def follows(settings: TrainerSettings) -> bool:
    """Whether another process begins the run and leaves what it leaves: this one trains along.

    Lightning knows, from the settings and from what the launcher has set; variables that something else has left in
    the environment count neither for it nor here.

    Raises:
        UsageError: Lightning cannot train so, what a run needs cannot be had so, or other processes were started than
            are asked for.
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
    # Lightning took it from whatever variable there was when it was imported, and its loggers go by it.
    rank_zero_only.rank = trainer.global_rank  # type: ignore[attr-defined]
    return trainer.global_rank > 0


def processes_of(settings: TrainerSettings) -> int:
    """How many processes a run is going to have, on all nodes."""
    trainer = build_trainer(settings, (), (), "float32")
    return int(trainer.num_devices * trainer.num_nodes)


def refuse(strategy: str) -> None:
    """Strategies of Lightning with which a run would end without what it is for."""
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
    """How many processes there are, and who says so; `asked` where Lightning is going to start them itself."""
    if is_distributed():
        return world_size(), f"this process is one of {world_size()} that have trained together"
    if TorchElasticEnvironment.detect():
        return int(os.environ["WORLD_SIZE"]), f"torchrun started {os.environ['WORLD_SIZE']} processes"
    if SLURMEnvironment.detect():
        tasks = os.environ["SLURM_NTASKS"]
        return int(tasks), f"Slurm has {tasks} tasks for this job (SLURM_NTASKS), each of them a process"
    if asked > 1 and "LOCAL_RANK" in os.environ:
        # A process that Lightning starts has both; with one alone it would wait for the others for ever.
        there = os.environ.get("WORLD_SIZE", "1")
        return int(there), f"LOCAL_RANK is set as if a launcher had started {there} (unset it if none has)"
    return asked, ""


class Told(Callback):
    """The first process tells the others where the run lies, so that their failures stand in its log.

    Args:
        folder: of the run, which the first process knows.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self.folder = folder

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        self.folder = broadcast(self.folder)

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Of a process that was killed, the first one sees a broken connection and nothing more."""
        for number, process in enumerate(getattr(trainer.strategy.launcher, "procs", ()), 1):
            if (code := process.poll()) is not None and code < 0:
                killed = f"process {number} on this machine was ended by {signal.Signals(-code).name}"
                exception.add_note(f"{killed}; where nobody did that, it may have been out of memory")

    @contextmanager
    def heard(self) -> Iterator[None]:
        """Of a process that follows: what ends it is logged where the first one logs."""
        try:
            yield
        except Exception:
            if self.folder is None or not self.folder.is_dir():
                raise
            with run_directory.logged(self.folder / run_directory.LOG):
                log.error("process %d of %d:", rank(), world_size())
                raise
