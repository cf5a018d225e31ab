"""Run a task of a Slurm job on its node, where submitit calls it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from typing import IO, Any

from tlplug.commands.sweep.launchers.local import HEADER
from tlplug.commands.sweep.launchers.worker import STOPPED, Work
from tlplug.commands.sweep.lock import OUTPUT
from tlplug.commands.sweep.protocols import SweepJob
from tlplug.runtime.files import atomic_write

ENDED = "ended.json"


class Task(Work):
    """One task of a job, which submitit calls on a node and requeues when the job is preempted."""

    def __init__(self, job: SweepJob, signal_delay_s: int) -> None:
        super().__init__(job, {})
        self.signal_delay_s = signal_delay_s
        self.process: subprocess.Popen[bytes] | None = None

    def __call__(self) -> int:
        """Run the job; return its exit code and write it into the job's folder, for other processes of the sweep."""
        code = super().__call__()
        if code == STOPPED and not self.asked_to_stop and runs_on():
            # Slurm's preemption signal has reached the run itself. submitit requeues the job on its own signal, in the
            # first task, which does not return from it; the other tasks end with the first.
            signal.raise_signal(signal.SIGUSR2)
            time.sleep(self.signal_delay_s)
        if self.rank == 0 or code:
            atomic_write(self.job.folder / ENDED, json.dumps({"code": code}) + "\n")
        if code:
            sys.exit(1)  # srun then ends the other tasks
        return code

    @property
    def rank(self) -> int:
        return int(os.environ.get("SLURM_PROCID", "0"))

    def opened(self) -> IO[bytes]:
        """Open the output of a task, without a lock: a resumed sweep finds its jobs by their ids."""
        output = (self.job.folder / (f"output.{self.rank}.txt" if self.rank else OUTPUT)).open("ab")
        output.write(
            f"{HEADER}{os.environ.get('SLURM_JOB_ID', '')} {' '.join(self.job.command())}\n".encode()
        )
        output.flush()
        return output

    def started(self, output: IO[bytes]) -> subprocess.Popen[bytes]:
        self.process = super().started(output)
        return self.process

    def checkpoint(self) -> Any:
        """Stop the run and return the task to requeue; submitit calls this on a timeout or a preemption."""
        from submitit.helpers import DelayedSubmission

        if self.process is not None and self.process.poll() is None:
            self.process.terminate()
            self.process.wait()
        return DelayedSubmission(Task(self.job, self.signal_delay_s))


def runs_on() -> bool:
    """Return True if Slurm lists the job as running, so it is preempted and not cancelled; True outside Slurm."""
    from submitit import JobEnvironment

    if "SLURM_JOB_ID" not in os.environ:
        return True
    # SLURM_JOB_ID may be the id of a whole array; submitit's id is that of the single job.
    command = ["squeue", "--noheader", "--format=%T", f"--jobs={JobEnvironment().job_id}"]
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip() == "RUNNING"
