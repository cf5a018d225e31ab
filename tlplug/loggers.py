"""`logger=csv`, `logger=wandb`, both or none: Lightning loggers, finished when the run ends, however it ends."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from lightning.pytorch.loggers import CSVLogger, Logger, WandbLogger

from tlplug.contracts.settings import CsvSettings, WandbSettings


def csv(settings: CsvSettings, folder: Path, name: str) -> Logger:
    return CSVLogger(save_dir=folder, name="", version="")


def wandb(settings: WandbSettings, folder: Path, name: str) -> Logger:
    return WandbLogger(
        name=name,
        save_dir=folder,
        project=settings.project,
        entity=settings.entity,
        group=settings.group,
        tags=settings.tags or None,
        offline=settings.offline or not has_wandb_key(),
    )


def has_wandb_key() -> bool:
    """A key in the environment or in ~/.netrc, where `wandb login` puts it."""
    netrc = Path(os.environ.get("NETRC", Path.home() / ".netrc"))
    stored = netrc.is_file() and "api.wandb.ai" in netrc.read_text(encoding="utf-8")
    return bool(os.environ.get("WANDB_API_KEY")) or stored


KINDS: dict[type, Callable[[Any, Path, str], Logger]] = {CsvSettings: csv, WandbSettings: wandb}


@contextmanager
def opened(
    settings: Sequence[Any], folder: Path, name: str, config: dict[str, Any]
) -> Iterator[list[Logger]]:
    """The loggers, with the config logged; finished on the way out, or runs of a sweep would merge into one."""
    loggers = [KINDS[type(chosen)](chosen, folder, name) for chosen in settings]
    try:
        for logger in loggers:
            if isinstance(logger, WandbLogger):
                logger.log_hyperparams(config)
        yield loggers
    finally:
        for logger in loggers:
            logger.finalize("success")
            if isinstance(logger, WandbLogger):
                import wandb

                wandb.finish()
