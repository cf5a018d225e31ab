"""Open the loggers of a run, and close them when it ends."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from tlplug.runs.loggers.csv_logger import CsvRows
from tlplug.runs.loggers.mlflow_logger import Mlflow
from tlplug.runs.loggers.run_ids import Kept
from tlplug.runs.loggers.safe_logger import Door
from tlplug.runs.loggers.service import About, Ended, Ending, Service
from tlplug.runs.loggers.tensorboard_logger import Tensorboard
from tlplug.runs.loggers.wandb_logger import Wandb
from tlplug.settings import CsvSettings, MlflowSettings, NoSettings, TensorboardSettings, WandbSettings

Say = Callable[[str], None]

log = logging.getLogger(__name__)

KINDS: dict[type, Callable[[Any, About, Kept, Say], Service]] = {
    CsvSettings: lambda settings, about, kept, say: CsvRows(about.folder),
    TensorboardSettings: lambda settings, about, kept, say: Tensorboard(about),
    MlflowSettings: lambda settings, about, kept, say: Mlflow(settings, about, kept),
    WandbSettings: Wandb,
}


@dataclass
class Opened:
    """The loggers of a run; `commands`, filled when they are closed, upload what they could not send."""

    loggers: list[Door]
    commands: list[str] = field(default_factory=list)

    def tell(self, ended: Ended) -> None:
        """Send the end of the run to all loggers."""
        for logger in self.loggers:
            logger.tell(ended)

    def close(self, ending: Ending) -> None:
        for logger in self.loggers:
            if command := logger.close(ending):
                self.commands.append(command)
                log.info("to send it to %s: %s", logger.name, command)

    def say_commands(self, say: Say) -> None:
        for command in self.commands:
            say(f"To send what was logged: {command}")


@contextmanager
def opened(settings: Sequence[Any], about: About, say: Say) -> Iterator[Opened]:
    """Yield the loggers of a run, and close them on exit, so that the runs of a sweep stay separate.

    Args:
        say: prints a line for the user.

    Raises:
        UsageError: loggers.json of the run directory is damaged.
    """
    kept = Kept(about.folder)
    services = [
        KINDS[type(chosen)](chosen, about, kept, say)
        for chosen in settings
        if not isinstance(chosen, NoSettings)
    ]
    found = Opened([Door(service, str(about.folder), say) for service in services])
    try:
        for logger in found.loggers:
            logger.start()
        yield found
    except Exception:
        close_and_say(found, Ending.FAILED, say)
        raise
    except BaseException:
        close_and_say(found, Ending.STOPPED, say)
        raise
    else:
        found.close(Ending.FINISHED)


def close_and_say(found: Opened, ending: Ending, say: Say) -> None:
    found.close(ending)
    found.say_commands(say)
