"""What a user types about where the jobs of a sweep run. The only home of these defaults."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Optional

CLUSTERS = ("slurm", "local")


@dataclass
class LocalSettings:
    """This machine, `sweep.jobs` processes at once."""


@dataclass
class SlurmSettings:
    """Jobs of Slurm, by submitit; null is what the cluster gives where nothing is asked for."""

    cluster: str = "slurm"
    """`slurm`; or `local`: the same on this machine and without Slurm, to try it."""
    partition: Optional[str] = None
    account: Optional[str] = None
    qos: Optional[str] = None
    nodes: int = 1
    """Nodes of one job; `trainer.num_nodes` is the same number."""
    tasks_per_node: int = 1
    """Processes of one job on a node: one a device, so `trainer.devices` is the same number."""
    gpus_per_node: Optional[int] = None
    cpus_per_task: Optional[int] = None
    mem_gb: Optional[float] = None
    """Memory of one job on a node."""
    timeout_min: int = 1440
    """Minutes after which Slurm ends a job; it leaves a checkpoint, and is queued again."""
    timeouts: int = 3
    """How often a job that reached its time is queued again."""
    warn_s: int = 120
    """Seconds before its end in which a job is told of it, and leaves a checkpoint."""
    array_parallelism: int = 256
    """Jobs of one array that run at once."""
    setup: list[str] = field(default_factory=list)
    """Lines of shell before a job, such as `module load cuda`."""
    additional: dict[str, Any] = field(default_factory=dict)
    """Further parameters of sbatch by their long names: `launcher.additional={constraint:a100}`."""

    def __post_init__(self) -> None:
        if self.cluster not in CLUSTERS:
            raise ValueError(f"launcher.cluster is {self.cluster!r}; it is one of: {', '.join(CLUSTERS)}")
        if self.cluster == "local" and self.nodes * self.tasks_per_node > 1:
            raise ValueError(
                "launcher.cluster=local has one node and one task, for there is no srun to tell them apart"
            )
        least = {"nodes": 1, "tasks_per_node": 1, "timeout_min": 1, "timeouts": 0, "warn_s": 1}
        for name, bound in {**least, "array_parallelism": 1}.items():
            if getattr(self, name) < bound:
                raise ValueError(f"launcher.{name} is {getattr(self, name)}; it is a number from {bound} on")


@dataclass
class RaySettings:
    """Tasks of a Ray cluster."""

    address: Optional[str] = None
    """Of the cluster: `auto`, or `host:port`; null: one is started on this machine, for this sweep."""
    cpus: float = 1.0
    """What one job takes of the cluster's CPUs."""
    gpus: float = 0.0
    """What one job takes of the cluster's GPUs; it sees these alone."""
    retries: int = 3
    """How often a job whose node was lost is gone on with on another."""

    def __post_init__(self) -> None:
        for name in ("cpus", "gpus", "retries"):
            if getattr(self, name) < 0:
                raise ValueError(f"launcher.{name} is {getattr(self, name)}; it is a number from 0 on")
