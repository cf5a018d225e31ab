"""Shield a run from the errors of a logging service: they become warnings."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from typing import Any

from lightning.pytorch.loggers import Logger

from tlplug.runs.loggers.service import Ended, Ending, Service
from tlplug.runtime.secrets import redact_logins

PAUSE = 120.0
"""Seconds without rows to a service after a failure, because each attempt may wait for the network."""

log = logging.getLogger(__name__)


class Door(Logger):
    """Pass the calls of Lightning to a service, and turn its errors into warnings.

    Args:
        folder: the run directory.
        say: prints a line for the user.
    """

    def __init__(self, service: Service, folder: str, say: Callable[[str], None]) -> None:
        super().__init__()
        self.service = service
        self.say = say
        self._folder = folder
        self._open = False
        self._warned = False
        self._again = 0.0

    @property
    def name(self) -> str:
        return self.service.name

    @property
    def version(self) -> str:
        return ""

    @property
    def save_dir(self) -> str:
        return self._folder

    def log_hyperparams(self, params: Any, *given: Any, **named: Any) -> None:
        """Do nothing: the service already has the config of the run."""

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        if time.monotonic() >= self._again:
            self._attempt(self.service.row, metrics, step or 0)

    def start(self) -> None:
        self._attempt(lambda: None)

    def tell(self, ended: Ended) -> None:
        self._attempt(self.service.ended, ended)

    def close(self, ending: Ending) -> str | None:
        """Close the service at the end of the run, not in `finalize`, which Lightning calls after each fit.

        Returns:
            The command that uploads what could not be sent, or None.
        """
        command: str | None = self._attempt(self.service.finish, ending)
        return command

    def _attempt(self, act: Callable[..., Any], *given: Any) -> Any:
        try:
            if not self._open:
                self.service.start()
                self._open = True
            return act(*given)
        except Exception as error:
            # The run directory holds all results, so an unavailable service must not end the run.
            self._again = time.monotonic() + PAUSE
            self._warn(error)

    def _warn(self, error: Exception) -> None:
        cause = redact_logins(" ".join(str(error).split()))[:300]
        text = f"logger {self.name} failed ({type(error).__name__}: {cause}); the run goes on without it"
        if self._warned:
            log.info("%s", text)
            return
        self._warned = True
        log.warning("%s", text)
        self.say(text)
