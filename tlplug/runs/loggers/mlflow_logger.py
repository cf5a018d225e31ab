"""Log a run to a tracking server or local store of MLflow, for `logger=mlflow`."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from tlplug.runs.loggers.run_ids import Kept
from tlplug.runs.loggers.service import About, Ended, Ending, figures, flat
from tlplug.settings import MlflowSettings

PATIENCE = {
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
}
"""Short timeouts: by default each call of MLflow retries for minutes before it reports that a server is away."""
STATUS = {Ending.FINISHED: "FINISHED", Ending.FAILED: "FAILED", Ending.STOPPED: "KILLED"}
BATCH = 100
"""Maximum number of params in one request of MLflow; metrics have a higher limit."""


class Mlflow:
    """Log to one MLflow run through the client, which sets no current run for the process."""

    name = "mlflow"

    def __init__(self, settings: MlflowSettings, about: About, kept: Kept) -> None:
        self.settings = settings
        self.about = about
        self.kept = kept
        self.client: Any = None
        self.run = ""
        self.step = 0

    def start(self) -> None:
        """Open the MLflow run of an earlier process of this run, or create one."""
        with patience():
            from mlflow import MlflowClient, get_tracking_uri

            self.client = MlflowClient(self.settings.tracking_uri or get_tracking_uri())
            known = self.kept.get(self.name)
            self.run = known or self._create()
            self.client.update_run(self.run, status="RUNNING")
            self._params()

    def row(self, values: Mapping[str, float], step: int) -> None:
        self._log(values, step)
        self.step = max(self.step, step)

    def ended(self, ended: Ended) -> None:
        self._log(figures(ended.result), self.step)
        with patience():
            for name, value in flat(ended.result["verdict"], "verdict/").items():
                if isinstance(value, str):
                    self.client.set_tag(self.run, name, value)
            self.client.log_artifact(self.run, str(ended.page))

    def finish(self, ending: Ending) -> None:
        with patience():
            self.client.set_terminated(self.run, STATUS[ending])

    def _create(self) -> str:
        found = self.client.get_experiment_by_name(self.settings.experiment)
        experiment = found.experiment_id if found else self.client.create_experiment(self.settings.experiment)
        about = self.about
        tags = {"task": about.task, "strategy": about.strategy, "seed": str(about.seed)}
        if about.sweep:
            tags["sweep"] = about.sweep
        name = self.settings.run_name or about.name
        run = self.client.create_run(experiment, tags={**tags, **self.settings.tags}, run_name=name)
        self.kept.keep(self.name, run.info.run_id)
        return str(run.info.run_id)

    def _params(self) -> None:
        from mlflow.entities import Param

        params = [
            Param(legal(name), str(value)) for name, value in flat(self.about.config, joint=".").items()
        ]
        for start in range(0, len(params), BATCH):
            self.client.log_batch(self.run, params=params[start : start + BATCH])

    def _log(self, values: Mapping[str, float], step: int) -> None:
        with patience():
            from mlflow.entities import Metric

            now = int(time.time() * 1000)
            metrics = [Metric(legal(name), float(value), now, step) for name, value in values.items()]
            self.client.log_batch(self.run, metrics=metrics)


def legal(name: str) -> str:
    """Return a name with the characters that MLflow refuses replaced by `_`."""
    return re.sub(r"[^\w./ -]", "_", name)


@contextmanager
def patience() -> Iterator[None]:
    """Set short timeouts for MLflow, except those that the user has set; MLflow reads them at each request."""
    ours = {name: value for name, value in PATIENCE.items() if name not in os.environ}
    os.environ.update(ours)
    try:
        yield
    finally:
        for name in ours:
            os.environ.pop(name, None)
