"""Run jobs with Slurm through submitit (`launcher=slurm`)."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tlplug.commands.sweep.launchers.slurm_queue import Queue, queue_of
from tlplug.commands.sweep.launchers.slurm_task import ENDED, Task
from tlplug.commands.sweep.launchers.worker import CUT_OFF, LOST, ask_to_stop, take_back
from tlplug.commands.sweep.protocols import Launcher, NotTaken, Running, SweepJob
from tlplug.errors import UsageError
from tlplug.runtime.files import atomic_write
from tlplug.settings import SlurmSettings

LOGS, SUBMITTED = "slurm", "slurm.json"


class Submitted(Running):
    """A job that has been submitted to the queue; its id is empty before that."""

    def __init__(self, job: SweepJob, queue: Queue, id: str = "") -> None:
        self.job, self.queue, self.id = job, queue, id
        self.stopped = False

    def code(self) -> int | None:
        if not self.id:
            return None
        # The queue is read first, as the job may end between the two checks.
        gone = self.id not in self.queue
        if (ended := self.job.folder / ENDED).is_file():
            return int(json.loads(ended.read_text(encoding="utf-8"))["code"])
        return (CUT_OFF if self.stopped else LOST) if gone else None

    def stop(self) -> None:
        if not self.stopped:
            self.stopped = True
            ask_to_stop(self.job.folder)
            self.queue.cancel([self.id], waiting=True)


class Slurm(Launcher):
    """Runs jobs in Slurm's queue, and finds the jobs that an earlier process of the sweep submitted."""

    def __init__(self, settings: SlurmSettings, folder: Path) -> None:
        self.settings = settings
        self.executor = executor_of(settings, folder.resolve() / LOGS)
        self.queue = queue_of(settings.cluster)
        self.jobs: list[Submitted] = []
        self.collected: list[Submitted] | None = None

    def start(self, job: SweepJob) -> Running:
        take_back(job.folder)
        id = submitted_id(job.folder, self.settings.cluster)
        self.jobs.append(submitted := Submitted(job, self.queue, id if id in self.queue else ""))
        if not submitted.id:
            (job.folder / ENDED).unlink(missing_ok=True)
            if self.collected is None:
                self.submit([submitted])
            else:
                self.collected.append(submitted)
        return submitted

    @contextmanager
    def together(self) -> Iterator[None]:
        self.collected = []
        try:
            yield
            self.submit(self.collected)
        finally:
            self.collected = None

    def submit(self, jobs: Sequence[Submitted]) -> None:
        """Submit the jobs as one array; each folder gets its job's id.

        Raises:
            NotTaken: Slurm refused the jobs.
        """
        from submitit.core.utils import FailedJobError, FailedSubmissionError

        tasks = [Task(submitted.job, self.settings.signal_delay_s) for submitted in jobs]
        try:
            found = self.executor.submit_array(tasks) if tasks else []
        except (FailedJobError, FailedSubmissionError, OSError) as error:
            raise NotTaken(f"launcher=slurm: the jobs were not taken: {str(error).strip()}") from error
        for submitted, job in zip(jobs, found, strict=True):
            submitted.id = job.job_id
            record = {"version": 1, "cluster": self.settings.cluster, "id": job.job_id}
            atomic_write(submitted.job.folder / SUBMITTED, json.dumps(record) + "\n")
            self.queue.add(job.job_id)

    def close(self) -> None:
        self.queue.cancel([job.id for job in self.jobs if job.id and job.code() is None])


def submitted_id(folder: Path, cluster: str) -> str:
    """Return the id of the job last submitted for the folder that has no exit code yet; empty if there is none."""
    path = folder / SUBMITTED
    if (folder / ENDED).is_file():
        return ""
    record = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    return str(record["id"]) if record.get("cluster") == cluster else ""


def executor_of(settings: SlurmSettings, folder: Path) -> Any:
    """Return submitit's executor with the given settings.

    Raises:
        UsageError: submitit is not installed, or this machine has no Slurm.
    """
    try:
        from submitit import AutoExecutor
    except ImportError as error:
        raise UsageError("launcher=slurm needs submitit: pip install 'tlplug[slurm]'") from error
    try:
        executor = AutoExecutor(
            folder,
            cluster=settings.cluster,
            slurm_max_num_timeout=settings.max_num_timeout,
            local_max_num_timeout=settings.max_num_timeout,
        )
    except RuntimeError as error:
        raise UsageError(f"launcher=slurm: there is no Slurm on this machine ({error})") from error
    executor.update_parameters(**parameters(settings))
    return executor


def parameters(settings: SlurmSettings) -> dict[str, Any]:
    """Return the settings by submitit's names; submitit ignores those that are None."""
    # From Slurm 22.05 on, srun does not inherit the CPUs per task of sbatch.
    cpus = [] if settings.cpus_per_task is None else [f"--cpus-per-task={settings.cpus_per_task}"]
    return {
        "name": "tlplug",
        **{name: getattr(settings, name) for name in ("nodes", "tasks_per_node", "gpus_per_node")},
        **{name: getattr(settings, name) for name in ("cpus_per_task", "mem_gb", "timeout_min")},
        **{f"slurm_{name}": getattr(settings, name) for name in ("partition", "account", "qos")},
        **{f"{cluster}_setup": list(settings.setup) or None for cluster in ("slurm", "local")},
        "slurm_signal_delay_s": settings.signal_delay_s,
        "slurm_array_parallelism": settings.array_parallelism,
        "slurm_srun_args": [*cpus, "--kill-on-bad-exit=1"],
        "slurm_additional_parameters": {"requeue": True, **settings.additional_parameters},
    }
