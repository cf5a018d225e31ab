"""`logger=`: csv, tensorboard, mlflow, wandb, several at once or none; closed when the run ends, however it ends."""

from tlplug.loggers.opened import Opened, opened
from tlplug.loggers.service import About, Ended

__all__ = ["About", "Ended", "Opened", "opened"]
