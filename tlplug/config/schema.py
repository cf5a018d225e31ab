"""The root of the config: what a user can type, with types."""

from dataclasses import dataclass, field
from typing import Any, Optional

from tlplug.settings import (
    CheckpointSettings,
    DataSettings,
    EvidenceSettings,
    ModelSettings,
    OptimizerSettings,
    TrainerSettings,
    TransferSettings,
)


@dataclass
class RootConfig:
    """Plugins' nodes (`strategy`, `head`, `metric.<name>`) are typed by the plugins' own Configs."""

    task: Any = None
    """The task preset's name; set from the group's choice."""
    strategy: Any = None
    head: Any = None
    model: ModelSettings = field(default_factory=ModelSettings)
    data: DataSettings = field(default_factory=DataSettings)
    optimizer: OptimizerSettings = field(default_factory=OptimizerSettings)
    trainer: TrainerSettings = field(default_factory=TrainerSettings)
    transfer: TransferSettings = field(default_factory=TransferSettings)
    evidence: EvidenceSettings = field(default_factory=EvidenceSettings)
    checkpoint: CheckpointSettings = field(default_factory=CheckpointSettings)
    metric: dict[str, Any] = field(default_factory=dict)
    logger: dict[str, Any] = field(default_factory=dict)
    seed: int = 42
    """Seeds weights, order and dropout."""
    run_dir: Optional[str] = None  # noqa: UP045
    """Where the run is left; null: outputs/<task>/<strategy>/<time>-<id>."""
    resume: Optional[str] = None  # noqa: UP045
    """`auto`: go on with the unfinished run of this very config where there is one, else begin anew."""


OPEN = ("data.columns.", "data.target_domain.columns.", "transfer.source_domain.columns.")
"""Keys that a user may add below: the head checks them, not the schema."""
