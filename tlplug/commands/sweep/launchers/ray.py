"""Run jobs as tasks of a Ray cluster (`launcher=ray`)."""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import Any

from tlplug.commands.sweep.launchers.worker import LOST, Work, ask_to_stop, take_back
from tlplug.commands.sweep.lock import OUTPUT
from tlplug.commands.sweep.protocols import Launcher, Running, SweepJob
from tlplug.errors import UsageError
from tlplug.settings import RaySettings

CARRIED = ("TLPLUG_", "HF_", "WANDB_", "MLFLOW_", "OMP_", "NCCL_", "TOKENIZERS_")
"""Prefixes of the environment variables that a job takes from the sweep; all others come from the job's machine."""
FOREIGN = ("SLURM_",)
"""Prefixes of variables that a job does not inherit: if Ray runs under Slurm they describe the processes of Ray."""
QUIET = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "1"}


class Task(Running):
    """A job that has been submitted to the cluster."""

    def __init__(self, job: SweepJob, reference: Any) -> None:
        self.job, self.reference = job, reference
        self.ended: int | None = None

    def code(self) -> int | None:
        import ray

        if self.ended is None and ray.wait([self.reference], timeout=0)[0]:
            try:
                self.ended = int(ray.get(self.reference))
            except ray.exceptions.RayError as error:
                self.ended = LOST
                with (self.job.folder / OUTPUT).open("a", encoding="utf-8") as output:
                    output.write(f"\ntlplug: Ray lost the job: {error}\n")
        return self.ended

    def stop(self) -> None:
        ask_to_stop(self.job.folder)


class Ray(Launcher):
    """Runs jobs on an existing cluster, or on one that is started on this machine for the sweep."""

    def __init__(self, settings: RaySettings, folder: Path) -> None:
        """
        Raises:
            UsageError: Ray is not installed, the cluster does not answer, or this machine is too small for a job.
        """
        self.settings = settings
        self.ray = connected(settings)
        self.run = self.ray.remote(
            num_cpus=settings.cpus, num_gpus=settings.gpus, max_retries=settings.retries
        )(call)

    def start(self, job: SweepJob) -> Running:
        take_back(job.folder)
        carried = {name: value for name, value in os.environ.items() if name.startswith(CARRIED)}
        return Task(job, self.run.remote(Work(job, carried, without=FOREIGN)))

    def close(self) -> None:
        """Disconnect from Ray, which ends the tasks of this process and with them the jobs."""
        self.ray.shutdown()


def call(work: Work) -> int:
    return work()


def connected(settings: RaySettings) -> Any:
    """Return the module `ray`, connected to its cluster."""
    try:
        import ray
    except ImportError as error:
        raise UsageError("launcher=ray needs Ray: pip install 'tlplug[ray]'") from error
    os.environ.update({name: value for name, value in QUIET.items() if name not in os.environ})
    own: dict[str, Any] = {"include_dashboard": False} if settings.address is None else {}
    try:
        ray.init(address=settings.address or "local", log_to_driver=False, logging_level=logging.ERROR, **own)
    except (ConnectionError, ValueError, RuntimeError) as error:
        raise UsageError(f"launcher.address={settings.address}: {str(error).splitlines()[0]}") from error
    has: dict[str, float] = ray.cluster_resources()  # type: ignore[no-untyped-call]
    for name, wanted in {"CPU": settings.cpus, "GPU": settings.gpus}.items():
        # An existing cluster may grow.
        if settings.address is None and wanted > has.get(name, 0):
            ray.shutdown()
            raise UsageError(
                f"launcher.{name.lower()}s={wanted:g}: this machine has {has.get(name, 0):g} for Ray"
            )
    return ray
