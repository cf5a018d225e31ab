"""What a job of Slurm is on its node, where submitit calls it."""

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
    """One task of a job: what submitit runs on a node, and asks for what is left to do when the node is taken away."""

    def __init__(self, job: SweepJob, signal_delay_s: int) -> None:
        super().__init__(job, {})
        self.signal_delay_s = signal_delay_s
        self.process: subprocess.Popen[bytes] | None = None

    def __call__(self) -> int:
        """Write the exit code into the job's folder as well, for a process that did not start the job."""
        code = super().__call__()
        if code == STOPPED and not self.asked_to_stop and runs_on():
            # Slurm told the run itself that its node is taken away. submitit queues the job again at a signal of its
            # own, in the first task, from which this does not return; the others end with it.
            signal.raise_signal(signal.SIGUSR2)
            time.sleep(self.signal_delay_s)
        if self.rank == 0 or code:
            atomic_write(self.job.folder / ENDED, json.dumps({"code": code}) + "\n")
        if code:
            sys.exit(1)  # at which srun ends the other tasks
        return code

    @property
    def rank(self) -> int:
        return int(os.environ.get("SLURM_PROCID", "0"))

    def opened(self) -> IO[bytes]:
        """Open the output of a task. It is not locked: a continued sweep finds its jobs by their ids."""
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
        """Called by submitit where time is up or the job is preempted; what this returns is queued again."""
        from submitit.helpers import DelayedSubmission

        if self.process is not None and self.process.poll() is None:
            self.process.terminate()
            self.process.wait()
        return DelayedSubmission(Task(self.job, self.signal_delay_s))


def runs_on() -> bool:
    """Return whether Slurm will run the job again: after a preemption, but not after a cancellation."""
    from submitit import JobEnvironment

    if "SLURM_JOB_ID" not in os.environ:
        return True
    # The plain id of one job of an array is that of the whole array; submitit's is not.
    command = ["squeue", "--noheader", "--format=%T", f"--jobs={JobEnvironment().job_id}"]
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip() == "RUNNING"
